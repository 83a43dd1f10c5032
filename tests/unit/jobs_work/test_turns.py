"""Inputs enter a lane in their order, and only while it is not behind."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from control_plane.errors import ModelFailed
from control_plane.inference.lane import Outcome
from control_plane.jobs.work.turns import WAIT_S, Turns
from control_plane.types import EncodedInput


class Narrow:
    """A lane that is behind while more than some inputs are in it; it ends them when told to."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside: deque[tuple[EncodedInput, asyncio.Future[Outcome]]] = deque()
        self.entered: list[EncodedInput] = []
        self.deadlines: list[float] = []

    @property
    def behind(self) -> bool:
        return len(self.inside) > self.most

    async def infer(self, item: EncodedInput, deadline: float) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        entry = (item, future)
        self.inside.append(entry)
        self.entered.append(item)
        self.deadlines.append(deadline)
        try:
            return await future
        finally:
            if entry in self.inside:
                self.inside.remove(entry)

    def end_one(self, error: Exception | None = None) -> None:
        _, future = self.inside.popleft()
        if error is None:
            future.set_result(Outcome(None, 0.0, 0.0, 1))
        else:
            future.set_exception(error)


ITEMS = [EncodedInput((bytes([number]),), ()) for number in range(20)]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def enter(turns: Turns, lane: Any, items: list[EncodedInput]) -> list[asyncio.Task[Outcome]]:
    return [asyncio.create_task(turns.infer(lane, item, 1.0)) for item in items]


async def test_no_more_enter_than_a_lane_takes_and_all_come_through_in_order() -> None:
    lane, turns = Narrow(2), Turns()
    tasks = enter(turns, lane, ITEMS)
    await turn()
    assert len(lane.entered) == 3
    for _ in ITEMS:
        assert len(lane.inside) <= 3
        lane.end_one()
        await turn()
    await asyncio.gather(*tasks)
    assert lane.entered == ITEMS


async def test_waiting_for_a_turn_does_not_count_to_the_deadline() -> None:
    lane, turns, loop = Narrow(0), Turns(), asyncio.get_running_loop()
    tasks = enter(turns, lane, ITEMS[:2])
    await turn()
    await asyncio.sleep(0.05)
    entered = loop.time()
    lane.end_one()
    await turn()
    assert lane.deadlines[1] >= entered + 1.0 + WAIT_S
    lane.end_one()
    await asyncio.gather(*tasks)


async def test_an_input_that_fails_makes_room_too() -> None:
    lane, turns = Narrow(0), Turns()
    first, second = enter(turns, lane, ITEMS[:2])
    await turn()
    lane.end_one(ModelFailed("x"))
    await turn()
    with pytest.raises(ModelFailed):
        await first
    assert lane.entered == ITEMS[:2]
    lane.end_one()
    await second


async def test_who_leaves_the_queue_holds_up_nobody() -> None:
    lane, turns = Narrow(0), Turns()
    tasks = enter(turns, lane, ITEMS[:4])
    await turn()
    tasks[1].cancel()
    tasks[2].cancel()
    await turn()
    lane.end_one()
    await turn()
    assert lane.entered == [ITEMS[0], ITEMS[3]]
    lane.end_one()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lane_that_is_free_again_without_word_is_found() -> None:
    lane, turns = Narrow(0), Turns()
    tasks = enter(turns, lane, ITEMS[:2])
    await turn()
    stuck = lane.inside.popleft()
    async with asyncio.timeout(30):
        while len(lane.entered) < 2:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)
    stuck[1].set_result(Outcome(None, 0.0, 0.0, 1))
    lane.end_one()
    await asyncio.gather(*tasks)
