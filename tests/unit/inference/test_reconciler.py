"""Servers in memory are brought to what is wanted, with a clock that tests turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import pytest

from control_plane.inference.memory import MemoryBackend
from control_plane.inference.reconciler import Reconciler
from control_plane.inference.target import Target
from control_plane.types import Backing

Until = Callable[[Callable[[], object]], Awaitable[None]]
WINE, BEER = Backing("wine", "1"), Backing("beer", "1")


def serves(*backings: Backing, name: str = "memory") -> MemoryBackend:
    """A server with models on its disk, none of them loaded."""
    backend = MemoryBackend({}, name)
    backend.repository = dict.fromkeys(backings, lambda _: {})
    return backend


class Setting:
    """A reconciler over some servers."""

    def __init__(self, *backends: MemoryBackend) -> None:
        self.now = 1000.0
        self.target = Target({})
        self.reconciler = Reconciler(
            backends, lambda: self.target, linger_s=60, clock=lambda: self.now
        )

    def want(self, *models: str, go: Iterable[str] = ()) -> None:
        self.target = Target(dict.fromkeys(models, frozenset()), frozenset(go))

    async def round(self, later_s: float = 0.0) -> None:
        self.now += later_s
        await self.reconciler.round()
        await self.reconciler.settle()

    def states(self) -> dict[str, str]:
        return {each.model: each.state for each in self.reconciler.report()}


async def test_what_is_wanted_is_loaded_once() -> None:
    backend = serves(WINE, BEER)
    setting = Setting(backend)
    setting.want("wine")
    assert setting.states() == {"wine": "unknown"}
    for _ in range(3):
        await setting.round()
    assert backend.loads == ["wine"]
    assert setting.states() == {"wine": "ready"}


async def test_every_server_is_looked_after_for_itself() -> None:
    one, two = serves(WINE, name="one"), serves(WINE, name="two")
    setting = Setting(one, two)
    setting.want("wine")
    one.reachable = False
    await setting.round()
    reports = {each.server: each.state for each in setting.reconciler.report()}
    assert reports == {"one": "unknown", "two": "ready"}
    one.reachable = True
    await setting.round()
    assert (one.loads, two.loads) == (["wine"], ["wine"])


async def test_a_server_that_forgot_its_models_gets_them_again() -> None:
    backend = serves(WINE)
    setting = Setting(backend)
    setting.want("wine")
    await setting.round()
    backend.models.clear()
    await setting.round()
    assert backend.loads == ["wine", "wine"]
    assert WINE in backend.models


async def test_a_model_that_fails_is_tried_again_later_and_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = serves(WINE)
    backend.broken["wine"] = "no such weights"
    setting = Setting(backend)
    setting.want("wine")
    tries = []
    with caplog.at_level(logging.ERROR):
        for _ in range(800):
            before = len(backend.loads)
            await setting.round()
            if len(backend.loads) > before:
                tries.append(setting.now - 1000)
            setting.now += 1
    assert tries == [0, 5, 15, 35, 75, 155, 315, 615]
    (report,) = setting.reconciler.report()
    assert (report.state, report.reason, report.failures) == ("failed", "no such weights", 8)
    assert report.retry_s == pytest.approx(300 - (800 - 615))
    assert [record.message for record in caplog.records] == ["triton refused"], "told once"


async def test_a_server_that_came_back_is_asked_at_once_whatever_failed_before() -> None:
    backend = serves(WINE)
    backend.broken["wine"] = "no such weights"
    setting = Setting(backend)
    setting.want("wine")
    await setting.round()
    backend.reachable = False
    await setting.round()
    backend.reachable = True
    del backend.broken["wine"]
    await setting.round()
    await setting.round()
    assert setting.states() == {"wine": "ready"}


async def test_one_that_loads_slowly_holds_up_nobody_and_is_not_asked_twice() -> None:
    backend = serves(WINE, BEER)
    backend.load_delay_s["wine"] = 3600
    setting = Setting(backend)
    setting.want("wine", "beer")
    for _ in range(3):
        await setting.reconciler.round()
        for _ in range(5):  # turns of the loop, for what was begun
            await asyncio.sleep(0)
    assert setting.states() == {"wine": "loading", "beer": "ready"}
    assert backend.loads == ["beer", "wine"]
    await setting.reconciler.close()
    assert WINE not in backend.models


async def test_a_version_that_does_not_come_with_its_model_is_a_failure() -> None:
    backend = serves(WINE)
    setting = Setting(backend)
    setting.target = Target({"wine": frozenset({"1", "2"})})
    await setting.round()
    await setting.round()
    (report,) = setting.reconciler.report()
    assert (report.state, report.failures) == ("failed", 1)
    assert report.reason.startswith("version 2 is not ready")
    assert backend.loads == ["wine"]


async def test_what_is_not_wanted_goes_after_its_time_and_only_if_it_may() -> None:
    backend = serves(WINE, BEER)
    setting = Setting(backend)
    setting.want("wine", "beer")
    await setting.round()
    setting.want(go=["wine"])
    await setting.round()
    await setting.round(59)
    assert backend.unloads == []
    await setting.round(1)
    assert backend.unloads == ["wine"]
    await setting.round(3600)
    assert set(backend.models) == {BEER}


async def test_what_is_wanted_again_in_time_stays_and_its_time_begins_anew() -> None:
    backend = serves(WINE)
    setting = Setting(backend)
    setting.want("wine", go=["wine"])
    await setting.round()
    setting.want(go=["wine"])
    await setting.round()
    setting.want("wine", go=["wine"])
    await setting.round(59)
    setting.want(go=["wine"])
    await setting.round()
    await setting.round(59)
    assert backend.unloads == []
    await setting.round(1)
    assert backend.unloads == ["wine"]


async def test_again_loads_what_is_ready_once_more_and_forgets_failures() -> None:
    backend = serves(WINE, BEER)
    backend.broken["beer"] = "no such weights"
    setting = Setting(backend)
    setting.want("wine", "beer")
    await setting.round()
    del backend.broken["beer"]
    setting.reconciler.again("wine")
    setting.reconciler.again("beer")
    setting.reconciler.again("not wanted")
    await setting.round()
    await setting.round()
    assert sorted(backend.loads) == ["beer", "beer", "wine", "wine"]
    assert setting.states() == {"wine": "ready", "beer": "ready"}


async def test_again_of_what_is_not_wanted_is_not_kept_for_later() -> None:
    backend = serves(WINE)
    backend.models = dict(backend.repository)
    setting = Setting(backend)
    setting.reconciler.again("wine")
    await setting.round()
    setting.want("wine")
    await setting.round()
    assert backend.loads == []


async def test_it_runs_until_it_is_cancelled_and_wakes_when_told(until: Until) -> None:
    backend = serves(WINE, BEER)
    target = Target({"wine": frozenset()})
    reconciler = Reconciler([backend], lambda: target, interval_s=3600)
    running = asyncio.create_task(reconciler.run())
    await until(lambda: WINE in backend.models)
    target = Target({"wine": frozenset(), "beer": frozenset()})
    reconciler.wake()
    await until(lambda: BEER in backend.models)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_target_that_cannot_be_had_ends_nothing(until: Until) -> None:
    backend = serves(WINE)
    asked = 0

    def target() -> Target:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise LookupError
        return Target({"wine": frozenset()})

    reconciler = Reconciler([backend], target, interval_s=0.001)
    running = asyncio.create_task(reconciler.run())
    await until(lambda: WINE in backend.models)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
