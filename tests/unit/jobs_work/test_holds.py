"""Signs of life: how often, of what, and what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.errors import TidegateError
from control_plane.jobs.shapes import Claim, Hold, Job, State, Task
from control_plane.jobs.store import Beat
from control_plane.jobs.work import holds as room
from control_plane.jobs.work.holds import Held, Holds


def job(number: int = 1, progress: int = 0) -> Job:
    return Job(
        id=f"job_{number}", tenant="t", client="k:c", model="m", version="v1.0.0",
        task=Task.PREDICT, state=State.PROCESSING, progress=progress, attempts=1, revision=1,
        units=1, refunded=0, created_ms=0, start_at_ms=0, started_ms=0, ended_ms=0, expires_ms=0,
        kept_until_ms=0,
    )  # fmt: skip


class Store:
    """Notes signs of life; those of some jobs are refused."""

    def __init__(self) -> None:
        self.beats: list[list[Beat]] = []
        self.lost: set[Hold] = set()
        self.is_away = False

    async def beat(self, beats: list[Beat]) -> list[bool]:
        if self.is_away:
            raise TidegateError("away", code="JOBS_UNAVAILABLE")
        self.beats.append(beats)
        return [beat.hold not in self.lost for beat in beats]

    def told(self, held: Held) -> list[int]:
        return [beat.progress for beats in self.beats for beat in beats if beat.hold == held.hold]


@contextlib.asynccontextmanager
async def beating(store: Store, lease_s: float) -> AsyncIterator[Holds]:
    given: Any = store
    holds = Holds(given, lease_s)
    task = asyncio.create_task(holds.beat())
    try:
        yield holds
    finally:
        task.cancel()
        await asyncio.wait([task])


def take(holds: Holds, number: int = 1) -> Held:
    held = Held(Claim(job(number), fence=1, spec=""))
    held.task = asyncio.create_task(asyncio.sleep(1000))
    holds.add(held)
    return held


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - of a loop that is not ours
            await asyncio.sleep(0.005)


async def test_every_job_in_hand_gives_signs_of_life_in_one_call() -> None:
    store = Store()
    async with beating(store, 0.3) as holds:
        for number in range(5):
            take(holds, number)
        await until(lambda: len(store.beats) >= 3)
    assert {len(beats) for beats in store.beats} == {5}


async def test_progress_is_told_long_before_the_next_sign_is_due() -> None:
    store = Store()
    async with beating(store, 3000) as holds:
        held = take(holds)
        for percent in range(0, 101, 2):
            holds.progress(held, percent)
        await until(lambda: store.told(held) and store.told(held)[-1] == 99)
        assert len(store.beats) <= 2, "each change was told by itself"


async def test_progress_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SOON_S", 0.005)
    store = Store()
    async with beating(store, 3000) as holds:
        held = take(holds)
        for percent in (40, 30, 50.9, 50):
            holds.progress(held, percent)
            await asyncio.sleep(0.02)
        await until(lambda: 50 in store.told(held))
    assert store.told(held) == [40, 50]


async def test_a_job_that_is_not_ours_any_more_is_left() -> None:
    store = Store()
    async with beating(store, 0.1) as holds:
        lost, kept = take(holds, 1), take(holds, 2)
        store.lost.add(lost.hold)
        assert lost.task is not None
        assert kept.task is not None
        await asyncio.wait([lost.task], timeout=30)
        assert lost.is_lost
        assert lost.task.cancelled()
        assert not kept.task.done()


async def test_word_of_an_end_reaches_the_job_at_once() -> None:
    store = Store()
    async with beating(store, 3000) as holds:
        held, other = take(holds, 1), take(holds, 2)
        holds.stop("job_1")
        holds.stop("job_of_another")
        assert (held.is_lost, other.is_lost) == (True, False)


async def test_an_end_that_is_being_told_is_not_broken_off() -> None:
    """The answer to a sign of life may overtake the one to the end itself."""
    store = Store()
    async with beating(store, 0.1) as holds:
        held, other = take(holds, 1), take(holds, 2)
        held.is_ending = True
        store.lost.add(held.hold)
        await until(lambda: len(store.told(other)) >= 2)
        holds.stop("job_1")
        assert not held.is_lost


async def test_a_server_that_was_away_hears_of_everything_later() -> None:
    store = Store()
    store.is_away = True
    async with beating(store, 3000) as holds:
        held = take(holds)
        holds.progress(held, 10)
        await asyncio.sleep(0.02)
        store.is_away = False
        await until(lambda: store.told(held) == [10])


async def test_after_a_gap_in_hearing_all_are_asked_about() -> None:
    store = Store()
    async with beating(store, 3000) as holds:
        take(holds, 1), take(holds, 2)
        holds.ask_again()
        await until(lambda: store.beats and len(store.beats[-1]) == 2)
