"""Loading and unloading, on a real Triton and on the server in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest

from control_plane.inference.backend import (
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    InferenceBackend,
    ModelNotLoaded,
    ModelState,
)
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.triton import TritonBackend
from control_plane.types import Backing, InferenceRequest, Tensor
from tests.integration.inference.workshop import PATIENCE_S, AdderCodec, Workshop, added, fresh

Put = Callable[..., Backing]


class Server(NamedTuple):
    """A model server and how a model gets into its repository."""

    backend: InferenceBackend
    put: Put


class MemoryWorkshop:
    """Puts models that add one into the repository of a server in memory."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend = backend

    def put(self, model: str, version: str = "1", **behaviour: Any) -> Backing:
        backing = Backing(model, version)
        self.backend.repository[backing] = adds
        self.backend.load_delay_s[model] = behaviour.get("loads_for_s", 0.0)
        if "fails_to_load" in behaviour:
            self.backend.broken[model] = behaviour["fails_to_load"]
        return backing


def adds(request: InferenceRequest) -> dict[str, Tensor]:
    sums = AdderCodec().split({"Y": request.inputs[0]}, request.inputs[0].shape[0])
    assert sums == [1.0]
    return {"Y": Tensor("Y", "FP32", (1, 1), b"\x00\x00\x00\x40")}


@pytest.fixture(params=["triton", "memory"])
async def server(
    request: pytest.FixtureRequest, backend: TritonBackend, workshop: Workshop
) -> AsyncIterator[Server]:
    if request.param == "triton":
        yield Server(backend, workshop.put)
    else:
        memory = MemoryBackend({})
        yield Server(memory, MemoryWorkshop(memory).put)


async def state(backend: InferenceBackend, backing: Backing) -> ModelState | None:
    index = await backend.index(PATIENCE_S)
    return next((each for each in index if each.backing == backing), None)


async def test_a_model_that_was_loaded_answers_and_is_ready(server: Server) -> None:
    backing = server.put(fresh())
    assert backing not in await server.backend.ready_models(PATIENCE_S)
    with pytest.raises(ModelNotLoaded):
        await added(server.backend, backing)
    await server.backend.load(backing.model, PATIENCE_S)
    assert backing in await server.backend.ready_models(PATIENCE_S)
    assert await state(server.backend, backing) == ModelState(backing, "ready")
    assert await added(server.backend, backing) == 2.0


async def test_all_versions_of_a_model_come_and_go(server: Server) -> None:
    model = fresh()
    both = {server.put(model, "1"), server.put(model, "2")}
    await server.backend.load(model, PATIENCE_S)
    assert both <= await server.backend.ready_models(PATIENCE_S)
    await server.backend.unload(model, PATIENCE_S)
    assert not both & await server.backend.ready_models(PATIENCE_S)
    for backing in both:
        found = await state(server.backend, backing)
        assert found is not None
        assert found.state in {"unloading", "unavailable"}
        with pytest.raises(ModelNotLoaded):
            await added(server.backend, backing)


async def test_a_model_that_cannot_be_loaded_says_why_and_leaves_the_others(
    server: Server,
) -> None:
    good, bad = server.put(fresh()), server.put(fresh(), fails_to_load="no such weights")
    await server.backend.load(good.model, PATIENCE_S)
    with pytest.raises(BackendFailed, match="no such weights"):
        await server.backend.load(bad.model, PATIENCE_S)
    found = await state(server.backend, bad)
    assert found is not None
    assert found.state == "unavailable"
    assert "no such weights" in found.reason
    assert await added(server.backend, good) == 2.0


async def test_what_is_not_in_the_repository_cannot_be_loaded(server: Server) -> None:
    with pytest.raises(BackendFailed, match="nobody"):
        await server.backend.load("nobody", PATIENCE_S)


async def test_unloading_what_is_not_loaded_is_no_error(server: Server) -> None:
    await server.backend.unload("nobody", PATIENCE_S)
    await server.backend.unload(server.put(fresh()).model, PATIENCE_S)


async def test_a_server_that_takes_too_long_to_load_is_a_timeout(server: Server) -> None:
    backing = server.put(fresh(), loads_for_s=1.0)
    with pytest.raises(BackendTimeout):
        await server.backend.load(backing.model, 0.2)


async def test_a_server_that_is_away_is_unreachable() -> None:
    away = TritonBackend("127.0.0.1:9")
    gone = MemoryBackend({})
    gone.reachable = False
    for backend in (away, gone):
        for call in (
            backend.load("m", PATIENCE_S),
            backend.unload("m", PATIENCE_S),
            backend.index(PATIENCE_S),
        ):
            with pytest.raises(BackendUnreachable):
                await call
    await away.close()


async def test_calls_in_flight_are_answered_while_their_model_is_unloaded(
    backend: TritonBackend, workshop: Workshop
) -> None:
    backing = workshop.put(fresh(), answers_for_s=1.0)
    await backend.load(backing.model, PATIENCE_S)
    running = asyncio.create_task(added(backend, backing))
    await asyncio.sleep(0.3)  # until Triton has the call
    await backend.unload(backing.model, PATIENCE_S)
    with pytest.raises(ModelNotLoaded):
        await added(backend, backing)
    assert await running == 2.0


async def test_unloading_an_ensemble_leaves_its_step(
    backend: TritonBackend, workshop: Workshop
) -> None:
    step = workshop.put(fresh())
    ensemble = workshop.join(fresh(), step.model)
    await backend.load(ensemble.model, PATIENCE_S)
    assert await added(backend, ensemble) == 2.0
    await backend.unload(ensemble.model, PATIENCE_S)
    assert await added(backend, step) == 2.0
