"""Ends are told together, and again while the server is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control_plane.errors import TidegateError
from control_plane.jobs.shapes import End, Hold, State
from control_plane.jobs.work import ends
from control_plane.jobs.work.ends import Ends

AWAY = TidegateError("away", code="JOBS_UNAVAILABLE")


class Store:
    """Takes ends, unless it is away for some calls."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.calls: list[int] = []

    async def finish(self, told: list[End]) -> list[bool]:
        self.calls.append(len(told))
        await asyncio.sleep(0.001)
        self._answer()
        return [end.hold.fence == 1 for end in told]

    async def retry(self, hold: Hold, failure: End, delay_ms: int) -> bool:
        self.calls.append(1)
        self._answer()
        return True

    async def hand_back(self, holds: list[Hold]) -> int:
        self._answer()
        return len(holds)

    def _answer(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise AWAY


def end(number: int = 0, fence: int = 1) -> End:
    return End(hold=Hold(f"job_{number}", fence), state=State.COMPLETED, result="x")


def telling(store: Any, lease_s: float = 10.0) -> Ends:
    return Ends(store, lease_s)


async def test_many_ends_share_few_calls() -> None:
    store = Store()
    told = telling(store)
    answers = await asyncio.gather(*[told.finish(end(number)) for number in range(100)])
    assert all(answers)
    assert sum(store.calls) == 100
    assert len(store.calls) <= 4


async def test_each_end_has_its_own_answer() -> None:
    told = telling(Store())
    answers = await asyncio.gather(*[told.finish(end(fence, fence)) for fence in (1, 2, 1)])
    assert answers == [True, False, True]


async def test_a_server_that_is_away_for_a_while_loses_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ends, "AGAIN_S", 0.001)
    store = Store(away=5)
    told = telling(store)
    assert await told.finish(end())
    store.away = 5
    assert await told.retry(end().hold, end(), 1000)


async def test_a_server_that_stays_away_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "AGAIN_S", 0.001)
    monkeypatch.setattr(ends, "GIVE_UP_S", 0.01)
    store = Store(away=1_000_000)
    told = telling(store, lease_s=0.0)
    with pytest.raises(TimeoutError):
        await told.finish(end())
    with pytest.raises(TimeoutError):
        await told.retry(end().hold, end(), 1000)


async def test_what_fails_at_one_moment_leaves_connections_for_signs_of_life() -> None:
    class Counting(Store):
        running = most = 0

        async def retry(self, hold: Hold, failure: End, delay_ms: int) -> bool:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.001)
            self.running -= 1
            return True

    store = Counting()
    told = telling(store)
    failed = [told.retry(end(number).hold, end(number), 1000) for number in range(200)]
    assert all(await asyncio.gather(*failed))
    assert 1 < store.most <= ends.RETRIES_AT_ONCE


async def test_what_cannot_be_handed_back_is_left_to_its_lease() -> None:
    await telling(Store(away=1)).hand_back([end().hold])
