"""On a real Triton: who gets traffic, and what a change of models does to those who send it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from control_plane.errors import ModelUnavailable, TidegateError
from control_plane.inference.backend import BackendFailed
from control_plane.inference.backoff import Backoff
from control_plane.inference.examination import Example, LaneSpec
from control_plane.inference.lanes import Lanes
from control_plane.inference.pool import BackendPool
from control_plane.inference.triton import TritonBackend
from control_plane.types import Backing, ModelRef, Version
from tests.integration.inference.workshop import (
    PATIENCE_S,
    AdderCodec,
    Workshop,
    fresh,
    number,
    until,
)

Serve = Callable[..., Awaitable[Lanes]]
CLIENTS = 8


def two(row: Any) -> str | None:
    return None if row == 2.0 else f"1 + 1 is not {row}"


def spec_of(backing: Backing) -> LaneSpec:
    ref = ModelRef(backing.model, Version(int(backing.version), 0, 0))
    return LaneSpec(ref, AdderCodec(), lambda _: [], examples=(Example(number(1.0), two),))


@pytest.fixture
async def pool(backend: TritonBackend) -> AsyncIterator[BackendPool]:
    started = BackendPool([backend], interval_s=0.1, timeout_s=PATIENCE_S)
    yield started
    await started.close()


@pytest.fixture
async def serve(pool: BackendPool) -> AsyncIterator[Serve]:
    """Opens lanes of some versions."""
    opened: list[Lanes] = []

    async def start(*backings: Backing) -> Lanes:
        lanes = Lanes(
            {backing: spec_of(backing) for backing in backings},
            pool,
            slots=2,
            max_waiting=1000,
            timeout_s=PATIENCE_S,
            report=lambda *_: None,
            drain_s=1.0,
            backoff=Backoff(first_s=3600, most_s=3600),
        )
        opened.append(lanes)
        await pool.start()
        await lanes.settle(PATIENCE_S)
        return lanes

    yield start
    for lanes in opened:
        await lanes.close(PATIENCE_S)


class Clients:
    """Send one request after the other to a version and count the answers."""

    def __init__(self, lanes: Lanes, backing: Backing) -> None:
        self.answers: Counter[str] = Counter()
        self._lanes = lanes
        self._backing = backing
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._send()) for _ in range(CLIENTS)]

    async def _send(self) -> None:
        while True:
            try:
                lane = self._lanes.lane(self._backing)
                outcome = await lane.infer(number(1.0), self._loop.time() + PATIENCE_S)
                self.answers[str(outcome.row)] += 1
            except TidegateError as error:
                self.answers[f"{error.code}: {error}"] += 1
            await asyncio.sleep(0.001)

    async def more(self, count: int = 100) -> None:
        """Wait until so many more have been answered."""
        goal = self.answers.total() + count
        await until(lambda: self.answers.total() >= goal)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_a_version_that_fails_its_example_gets_no_traffic_until_it_is_corrected(
    serve: Serve, backend: TritonBackend, workshop: Workshop
) -> None:
    backing = workshop.put(fresh(), fails_to_answer="lost my weights")
    await backend.load(backing.model, PATIENCE_S)
    lanes = await serve(backing)
    reasons = lanes.refused[backing][backend.name]
    assert "example 0" in reasons[0]
    assert "lost my weights" in reasons[0]
    with pytest.raises(ModelUnavailable):
        lanes.lane(backing)
    workshop.put(backing.model)
    await backend.load(backing.model, PATIENCE_S)
    lanes.again(backing)
    await lanes.settle(PATIENCE_S)
    assert lanes.is_ready(backing)
    assert not lanes.refused


async def test_a_version_that_cannot_be_loaded_leaves_the_one_beside_it_serving(
    serve: Serve, backend: TritonBackend, workshop: Workshop
) -> None:
    good = workshop.put(fresh())
    await backend.load(good.model, PATIENCE_S)
    bad = workshop.put(good.model, "2", fails_to_load="no such weights")
    lanes = await serve(good, bad)
    clients = Clients(lanes, good)
    with pytest.raises(BackendFailed, match="no such weights"):
        await backend.load(good.model, PATIENCE_S)
    await clients.more()
    await clients.stop()
    assert clients.answers.keys() == {"2.0"}
    assert not lanes.is_ready(bad)


@pytest.mark.parametrize("change", ["add", "remove", "touch", "nothing", "other"])
async def test_loading_loses_no_request_of_a_version_that_serves(
    serve: Serve, backend: TritonBackend, workshop: Workshop, change: str
) -> None:
    backing = workshop.put(fresh())
    workshop.put(backing.model, "9")
    await backend.load(backing.model, PATIENCE_S)
    lanes = await serve(backing)
    clients = Clients(lanes, backing)
    await clients.more()
    other = workshop.put(fresh(), loads_for_s=1.0).model if change == "other" else ""
    if change == "add":
        workshop.put(backing.model, "2", loads_for_s=1.0)
    elif change == "remove":
        (workshop.repository / backing.model / "9").rename(workshop.repository / f".{fresh()}")
    elif change == "touch":
        workshop.put(backing.model, loads_for_s=1.0)
    await backend.load(other or backing.model, PATIENCE_S)
    await clients.more()
    if other:
        await backend.unload(other, PATIENCE_S)
        await clients.more()
    await clients.stop()
    assert clients.answers.keys() == {"2.0"}
    ready = await backend.ready_models(PATIENCE_S)
    assert (Backing(backing.model, "2") in ready) == (change == "add")
    assert (Backing(backing.model, "9") in ready) == (change != "remove")


async def test_going_over_to_another_model_and_unloading_the_first_loses_no_request(
    serve: Serve, backend: TritonBackend, workshop: Workshop
) -> None:
    before, after = workshop.put(fresh()), workshop.put(fresh())
    await backend.load(before.model, PATIENCE_S)
    lanes = await serve(before)
    clients = Clients(lanes, before)
    await clients.more()
    lanes.replace({before: spec_of(before), after: spec_of(after)})
    await backend.load(after.model, PATIENCE_S)
    await until(lambda: lanes.is_ready(after))
    clients._backing = after
    await clients.more()
    lanes.replace({after: spec_of(after)})
    await until(lambda: not lanes._leaving)
    await backend.unload(before.model, PATIENCE_S)
    await clients.more()
    await clients.stop()
    assert clients.answers.keys() == {"2.0"}
