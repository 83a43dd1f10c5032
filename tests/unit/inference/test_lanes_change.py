"""Versions come and go while requests are served, and a version has lanes beside its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.errors import ModelUnavailable, Overloaded
from control_plane.inference.examination import LaneSpec
from control_plane.inference.lane import CallReport, Lane
from control_plane.inference.lanes import SHADOW_WAITING, Lanes
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, EncodedInput, ModelRef, ModelSignature, Version

HOUSE, WINE = Backing("house", "1"), Backing("wine", "1")
Server = Callable[..., MemoryBackend]
Item = Callable[[int], EncodedInput]


def ref(backing: Backing) -> ModelRef:
    return ModelRef(backing.model, Version(1, 0, 0))


class Setting:
    """Lanes of ``house`` over servers that have ``house`` and ``wine``."""

    def __init__(self, codec: Any, *backends: MemoryBackend, drain_s: float = 0.0) -> None:
        for backend in backends:
            backend.models[WINE] = backend.models[HOUSE]
            backend.signatures[WINE] = backend.signatures[HOUSE]
        self.codec = codec
        self.reports: list[tuple[ModelRef, CallReport]] = []
        self.pool = BackendPool(backends, interval_s=60, timeout_s=1)
        self.lanes = Lanes(
            {HOUSE: self.spec(HOUSE)},
            self.pool,
            slots=2,
            max_waiting=1000,
            timeout_s=1,
            report=lambda version, call: self.reports.append((version, call)),
            drain_s=drain_s,
        )

    def spec(self, backing: Backing, source: object = "a contract") -> LaneSpec:
        return LaneSpec(ref(backing), self.codec, lambda _: [], source=source)

    async def look(self) -> None:
        for endpoint in self.pool.endpoints:
            await self.pool.look(endpoint)
        await self.lanes.settle()

    async def replace(self, *specs: Backing, source: object = "a contract") -> None:
        self.lanes.replace({backing: self.spec(backing, source) for backing in specs})
        await self.lanes.settle()


@pytest.fixture
async def setting(server: Server, codec: Any) -> Setting:
    made = Setting(codec, server())
    await made.look()
    return made


def backend_of(setting: Setting) -> MemoryBackend:
    backend = setting.pool.endpoints[0].backend
    assert isinstance(backend, MemoryBackend)
    return backend


async def infer(lane: Lane, item: EncodedInput) -> Any:
    return (await lane.infer(item, asyncio.get_running_loop().time() + 60)).row


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_version_that_came_is_served_without_a_look(setting: Setting, item: Item) -> None:
    await setting.replace(HOUSE, WINE)
    assert await infer(setting.lanes.lane(WINE), item(3)) == 3
    assert setting.lanes.waiting() == {ref(HOUSE): 0, ref(WINE): 0}


async def test_a_version_that_stays_keeps_its_lane(setting: Setting) -> None:
    before = setting.lanes.lane(HOUSE)
    await setting.replace(HOUSE, WINE)
    await setting.replace(HOUSE)
    assert setting.lanes.lane(HOUSE) is before


async def test_a_version_made_from_something_else_gets_a_lane_of_its_own(setting: Setting) -> None:
    before = setting.lanes.lane(HOUSE)
    await setting.replace(HOUSE, source="another contract")
    assert setting.lanes.lane(HOUSE) is not before


async def test_a_version_that_is_gone_takes_nothing_and_a_reload_does_not_bring_it_back(
    setting: Setting,
) -> None:
    await setting.replace(WINE)
    for _ in range(2):
        assert not setting.lanes.is_ready(HOUSE)
        with pytest.raises(ModelUnavailable):
            setting.lanes.lane(HOUSE)
        backend_of(setting).reachable = False
        await setting.look()
        backend_of(setting).reachable = True
        await setting.look()
    assert setting.lanes.waiting() == {ref(WINE): 0}
    await setting.replace(HOUSE, WINE)
    assert setting.lanes.is_ready(HOUSE)


async def test_a_refusal_is_forgotten_with_its_version(server: Server, codec: Any) -> None:
    setting = Setting(codec, server())
    setting.lanes.replace({HOUSE: LaneSpec(ref(HOUSE), codec, lambda _: ["no"], source=1)})
    await setting.look()
    assert setting.lanes.refused
    setting.lanes.retire(HOUSE)
    setting.lanes.retire(HOUSE)
    assert setting.lanes.refused == {}


async def test_requests_that_found_their_lane_are_answered_after_its_version_went(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(codec, server(), drain_s=30)
    await setting.look()
    backend_of(setting).delay_s = 0.05
    lane = setting.lanes.lane(HOUSE)
    calls = [asyncio.create_task(infer(lane, item(number))) for number in range(3)]
    await turns()
    setting.lanes.retire(HOUSE)
    assert await asyncio.gather(*calls) == [0, 1, 2]
    await turns()
    assert await infer(lane, item(9)) == 9, "it may have waited to be admitted"
    await setting.lanes.close(30)


async def test_a_lane_that_went_is_closed_within_the_bound(setting: Setting, item: Item) -> None:
    lane = setting.lanes.lane(HOUSE)
    setting.lanes.retire(HOUSE)
    async with asyncio.timeout(30):
        while True:
            try:
                await infer(lane, item(1))
            except ModelUnavailable:
                break
            await asyncio.sleep(0.001)


async def test_lanes_that_are_leaving_end_with_all_others(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(codec, server(), drain_s=3600)
    await setting.look()
    lane = setting.lanes.lane(HOUSE)
    setting.lanes.retire(HOUSE)
    await setting.lanes.close(0)
    await turns()
    assert not setting.lanes._leaving
    with pytest.raises(ModelUnavailable):
        await infer(lane, item(1))


async def test_each_name_is_a_lane_with_calls_and_a_queue_of_its_own(
    setting: Setting, item: Item
) -> None:
    main = setting.lanes.lane(HOUSE)
    control = setting.lanes.lane(HOUSE, "control")
    shadow = setting.lanes.lane(HOUSE, "shadow")
    assert len({id(main), id(control), id(shadow)}) == 3
    assert setting.lanes.lane(HOUSE, "main") is main
    assert setting.lanes.lane(HOUSE, "control") is control
    assert setting.lanes.lane(HOUSE, "shadow") is shadow
    await asyncio.gather(*[infer(lane, item(1)) for lane in (main, control, shadow)])
    assert sorted((str(version), call.lane, call.size) for version, call in setting.reports) == [
        ("house v1.0.0", "control", 1),
        ("house v1.0.0", "main", 1),
        ("house v1.0.0", "shadow", 1),
    ]


@pytest.mark.parametrize("name", ["main", "control", "shadow"])
async def test_no_lane_of_a_version_that_is_not_ready(setting: Setting, name: Any) -> None:
    setting.lanes.lane(HOUSE, name)
    backend_of(setting).models.pop(HOUSE)
    await setting.look()
    for backing in (HOUSE, WINE):
        with pytest.raises(ModelUnavailable):
            setting.lanes.lane(backing, name)


@pytest.mark.parametrize(("name", "slots"), [("main", 4), ("control", 4), ("shadow", 2)])
async def test_a_shadow_lane_has_one_call_in_flight_a_server(
    server: Server, codec: Any, item: Item, name: Any, slots: int
) -> None:
    backends = server("a"), server("b")
    setting = Setting(codec, *backends)
    await setting.look()
    for backend in backends:
        backend.delay_s = 3600
    lane = setting.lanes.lane(HOUSE, name)
    shapes = [EncodedInput(item(number).parts, ((number + 1,),)) for number in range(8)]
    calls = [asyncio.create_task(infer(lane, each)) for each in shapes]
    await turns()
    assert sum(len(backend.calls) for backend in backends) == slots
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_side_lanes_batch_as_the_main_lane_does(setting: Setting, item: Item) -> None:
    control = setting.lanes.lane(HOUSE, "control")
    await asyncio.gather(*[infer(control, item(number)) for number in range(20)])
    backend = backend_of(setting)
    assert max(call.inputs[0].shape[0] for call in backend.calls) == 8
    backend.signatures[HOUSE] = ModelSignature((), (), 2)
    setting.lanes.again(HOUSE)
    await setting.lanes.settle()
    backend.calls.clear()
    await asyncio.gather(*[infer(control, item(number)) for number in range(20)])
    assert max(call.inputs[0].shape[0] for call in backend.calls) == 2


async def stuck(setting: Setting, lane: Lane, item: Item, count: int) -> list[asyncio.Task[Any]]:
    backend_of(setting).delay_s = 3600
    calls = [asyncio.create_task(infer(lane, item(0))) for _ in range(count)]
    await turns()
    return calls


async def test_waiting_counts_main_and_control_and_no_copies(setting: Setting, item: Item) -> None:
    calls: list[asyncio.Task[Any]] = []
    for name, count in (("main", 20), ("control", 21), ("shadow", 12)):
        calls += await stuck(setting, setting.lanes.lane(HOUSE, name), item, count)  # type: ignore[arg-type]
    # Two calls of 8 in flight each.
    assert setting.lanes.waiting() == {ref(HOUSE): 4 + 5}
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("name", ["main", "control"])
async def test_copies_are_dropped_while_others_wait_for_more_than_a_call(
    setting: Setting, item: Item, name: Any
) -> None:
    shadow = setting.lanes.lane(HOUSE, "shadow")
    first = await stuck(setting, shadow, item, 8)
    queued = await stuck(setting, shadow, item, 4)
    within = await stuck(setting, setting.lanes.lane(HOUSE, name), item, 16 + 8)
    beyond = await stuck(setting, setting.lanes.lane(HOUSE, name), item, 1)
    with pytest.raises(Overloaded):
        await infer(shadow, item(1))
    # The copy that waits is dropped, too, when its turn comes.
    for call in first:
        call.cancel()
    for outcome in await asyncio.gather(*queued, return_exceptions=True):
        assert isinstance(outcome, Overloaded)
    beyond[0].cancel()
    for call in within:
        call.cancel()
    await asyncio.gather(*within, *beyond, return_exceptions=True)
    backend_of(setting).delay_s = 0
    assert await infer(shadow, item(1)) == 1


async def test_copies_are_bounded(setting: Setting, item: Item) -> None:
    shadow = setting.lanes.lane(HOUSE, "shadow")
    calls = await stuck(setting, shadow, item, 8)
    calls += await stuck(setting, shadow, item, SHADOW_WAITING)
    assert shadow.waiting == SHADOW_WAITING
    with pytest.raises(Overloaded):
        await infer(shadow, item(1))
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
