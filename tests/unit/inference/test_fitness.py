"""A version gets traffic from a server only after it answered its contract's examples there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control_plane.errors import ModelFailed, ModelUnavailable
from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendFailed,
    BackendRejected,
    BackendTimeout,
    BackendUnreachable,
    ModelNotLoaded,
)
from control_plane.inference.backoff import Backoff
from control_plane.inference.examination import Example, LaneSpec
from control_plane.inference.lanes import Lanes
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, EncodedInput, InferenceRequest, ModelRef, Tensor, Version

HOUSE = Backing("house", "1")
REF = ModelRef("house", Version(1, 0, 0))
NEVER = Backoff(first_s=3600, most_s=3600)
Server = Callable[..., MemoryBackend]
Until = Callable[[Callable[[], object]], Awaitable[None]]
Item = Callable[[int], EncodedInput]


def echo(request: InferenceRequest) -> dict[str, Tensor]:
    return {"X": request.inputs[0]}


def raising(error: Exception) -> Callable[[InferenceRequest], Any]:
    def model(_: InferenceRequest) -> Any:
        raise error

    return model


def fine(_: Any) -> str | None:
    return None


def wrong(row: Any) -> str | None:
    return f"{row} is none of the labels"


class Setting:
    """Lanes over some servers; the contract has the examples 1, 2 and 3."""

    def __init__(
        self,
        codec: Any,
        *backends: MemoryBackend,
        complaints: tuple[Callable[[Any], str | None], ...] = (fine, fine, fine),
        backoff: Backoff = NEVER,
        deadline_s: float = 5.0,
    ) -> None:
        items = [EncodedInput((bytes([number]),), ((1,),)) for number in (1, 2, 3)]
        examples = tuple(map(Example, items, complaints))
        self.spec = LaneSpec(REF, codec, lambda _: [], deadline_s, examples)
        self.pool = BackendPool(backends, interval_s=60, timeout_s=1)
        self.lanes = Lanes(
            {HOUSE: self.spec},
            self.pool,
            slots=1,
            max_waiting=100,
            timeout_s=1,
            report=lambda *_: None,
            backoff=backoff,
        )

    async def look(self) -> None:
        for endpoint in self.pool.endpoints:
            await self.pool.look(endpoint)
        await self.lanes.settle()

    async def again(self) -> None:
        self.lanes.again(HOUSE)
        await self.lanes.settle()


def sent(backend: MemoryBackend) -> list[int]:
    return [call.inputs[0].data[0] for call in backend.calls]


async def test_every_example_is_sent_once_and_in_order_to_every_server(
    server: Server, codec: Any
) -> None:
    backends = server("a"), server("b")
    setting = Setting(codec, *backends)
    await setting.look()
    await setting.look()
    assert [sent(backend) for backend in backends] == [[1, 2, 3], [1, 2, 3]]
    assert setting.lanes.is_ready(HOUSE)


@pytest.mark.parametrize(("deadline_s", "limits"), [(5.0, [30, 5, 5]), (90.0, [90, 90, 90])])
async def test_an_example_has_the_contracts_deadline_and_the_first_at_least_30_s(
    server: Server, codec: Any, deadline_s: float, limits: list[float]
) -> None:
    backend = server()
    await Setting(codec, backend, deadline_s=deadline_s).look()
    assert [call.timeout_s for call in backend.calls] == limits


async def test_there_is_no_traffic_before_the_last_example_was_answered(
    server: Server, codec: Any
) -> None:
    backend = server()
    setting = Setting(codec, backend)
    seen: list[bool] = []

    def model(request: InferenceRequest) -> dict[str, Tensor]:
        seen.append(setting.lanes.is_ready(HOUSE))
        return echo(request)

    backend.models[HOUSE] = model
    await setting.look()
    assert seen == [False, False, False]
    assert setting.lanes.is_ready(HOUSE)


@pytest.mark.parametrize(
    ("model", "complaints", "reason"),
    [
        (raising(BackendFailed("lost my weights")), (fine,), "example 0 fails: lost my weights"),
        (raising(BackendRejected("bad shape")), (fine,), "example 0 fails: bad shape"),
        (raising(ModelFailed("not finite")), (fine,), "example 0 fails: not finite"),
        (echo, (fine, wrong), "example 1 fails: 2 is none of the labels"),
        (lambda _: {}, (fine,), "its answer cannot be read: KeyError: 'X'"),
    ],
)
async def test_a_version_that_fails_an_example_is_refused_with_the_reason(
    server: Server,
    codec: Any,
    model: Callable[[InferenceRequest], Any],
    complaints: tuple[Any, ...],
    reason: str,
) -> None:
    setting = Setting(codec, server(model=model), complaints=complaints)
    await setting.look()
    assert setting.lanes.refused == {HOUSE: {"memory": [reason]}}
    assert not setting.lanes.is_ready(HOUSE)
    with pytest.raises(ModelUnavailable):
        setting.lanes.lane(HOUSE)


@pytest.mark.parametrize("error", [BackendBusy, BackendTimeout, BackendUnreachable, ModelNotLoaded])
async def test_what_says_nothing_of_the_model_is_no_verdict_and_the_next_look_tries_again(
    server: Server, codec: Any, error: type[BackendError]
) -> None:
    backend = server(model=raising(error("later")))
    setting = Setting(codec, backend)
    await setting.look()
    assert setting.lanes.refused == {}
    assert not setting.lanes.is_ready(HOUSE)
    backend.models[HOUSE] = echo
    await setting.look()
    assert setting.lanes.is_ready(HOUSE)


async def test_one_that_was_refused_is_not_asked_at_every_look_but_after_its_time(
    server: Server, codec: Any, until: Until
) -> None:
    backend = server(model=raising(BackendFailed("no")))
    setting = Setting(codec, backend, backoff=Backoff(first_s=0.2, most_s=0.2))
    for _ in range(3):
        await setting.look()
    assert len(backend.calls) == 1
    backend.models[HOUSE] = echo
    await until(lambda: setting.lanes.is_ready(HOUSE))
    assert setting.lanes.refused == {}


async def test_a_refusal_is_logged_when_it_changes(
    server: Server, codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    backend = server(model=raising(BackendFailed("no")))
    setting = Setting(codec, backend)
    with caplog.at_level(logging.WARNING):
        await setting.look()
        await setting.again()
        assert len(caplog.records) == 1
        backend.models[HOUSE] = raising(BackendFailed("still not"))
        await setting.again()
    assert [vars(record)["reasons"] for record in caplog.records] == [
        ["example 0 fails: no"],
        ["example 0 fails: still not"],
    ]


async def test_again_tries_at_once_what_was_refused(server: Server, codec: Any) -> None:
    backend = server(model=raising(BackendFailed("no")))
    setting = Setting(codec, backend)
    await setting.look()
    backend.models[HOUSE] = echo
    await setting.again()
    assert setting.lanes.is_ready(HOUSE)


async def test_again_leaves_the_traffic_on_until_an_example_fails(
    server: Server, codec: Any, item: Item
) -> None:
    backend = server()
    setting = Setting(codec, backend)
    await setting.look()
    seen: list[bool] = []

    def model(_: InferenceRequest) -> Any:
        seen.append(setting.lanes.is_ready(HOUSE))
        raise BackendFailed("no")

    backend.models[HOUSE] = model
    await setting.again()
    assert seen == [True]
    assert not setting.lanes.is_ready(HOUSE)


async def test_again_without_a_verdict_leaves_the_traffic_on(server: Server, codec: Any) -> None:
    backend = server()
    setting = Setting(codec, backend)
    await setting.look()
    backend.models[HOUSE] = raising(BackendBusy("later"))
    await setting.again()
    assert setting.lanes.is_ready(HOUSE)
    assert setting.lanes.refused == {}


async def test_again_of_what_is_not_there_does_nothing(server: Server, codec: Any) -> None:
    backend = server()
    setting = Setting(codec, backend)
    setting.lanes.again(Backing("nobody", "1"))
    await setting.again()
    assert backend.calls == []


async def test_a_server_that_was_away_is_examined_again(server: Server, codec: Any) -> None:
    backend = server()
    setting = Setting(codec, backend)
    await setting.look()
    backend.reachable = False
    await setting.look()
    backend.reachable = True
    backend.models[HOUSE] = raising(BackendFailed("no"))
    await setting.look()
    assert not setting.lanes.is_ready(HOUSE)


async def test_a_server_that_refuses_does_not_keep_another_from_serving(
    server: Server, codec: Any, item: Item
) -> None:
    good, bad = server("good"), server("bad", raising(BackendFailed("no")))
    setting = Setting(codec, bad, good)
    await setting.look()
    assert setting.lanes.refused.keys() == {HOUSE}
    assert setting.lanes.refused[HOUSE].keys() == {"bad"}
    lane = setting.lanes.lane(HOUSE)
    await lane.infer(item(7), asyncio.get_running_loop().time() + 60)
    assert sent(good) == [1, 2, 3, 7]
    assert sent(bad) == [1]


async def test_a_slow_examination_is_given_up_when_the_lanes_close(
    server: Server, codec: Any
) -> None:
    backend = server()
    backend.delay_s = 3600
    setting = Setting(codec, backend)
    await setting.pool.look(setting.pool.endpoints[0])
    await setting.lanes.settle(0.01)
    assert not setting.lanes.is_ready(HOUSE)
    await setting.lanes.close(0)
    assert backend.cancelled == 1
