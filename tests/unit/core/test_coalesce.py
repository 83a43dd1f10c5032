"""Single promises of the coalescer, each in a schedule of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from control_plane.coalesce import Closed, Coalescer, QueueFull

Run = Callable[[Coroutine[Any, Any, Any]], Any]
FAR = 1e6


class Callee:
    """Notes its calls and answers when it is told to."""

    def __init__(self, **bounds: int) -> None:
        self.calls: list[list[Any]] = []
        self.deadlines: list[float] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.answer: Callable[[list[Any]], Sequence[Any]] = list
        bounds = {"max_batch": 4, "slots": 1, "max_waiting": 8} | bounds
        self.coalescer: Coalescer[Any, Any] = Coalescer(self.run, **bounds)

    async def run(self, items: list[Any], deadline: float) -> Sequence[Any]:
        self.calls.append(items)
        self.deadlines.append(deadline)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.answer(items)

    def submit(
        self, *items: Any, key: str = "k", deadline: float = FAR, later: bool = False
    ) -> list[asyncio.Task[Any]]:
        calls = [self.infer(item, key, deadline, later=later) for item in items]
        return [asyncio.create_task(call) for call in calls]

    async def infer(self, item: Any, key: str, deadline: float, *, later: bool = False) -> Any:
        member = self.coalescer.enter(item, key, deadline, later=later)
        return await self.coalescer.wait(member)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_arrivals_of_one_turn_share_a_call() -> None:
    callee = Callee()
    callee.gate.set()
    assert await asyncio.gather(*callee.submit(1, 2, 3)) == [1, 2, 3]
    assert callee.calls == [[1, 2, 3]]


async def test_a_lone_arrival_is_not_held_back() -> None:
    callee = Callee()
    callee.submit(1)
    await turns()
    assert callee.calls == [[1]]
    callee.gate.set()
    await callee.coalescer.close(1)


async def test_arrivals_during_a_call_go_together_in_the_next() -> None:
    callee = Callee()
    first = callee.submit(1)
    await turns()
    rest = callee.submit(2, 3)
    await turns()
    assert callee.calls == [[1]]
    callee.gate.set()
    assert await asyncio.gather(*first, *rest) == [1, 2, 3]
    assert callee.calls == [[1], [2, 3]]


async def test_a_call_never_mixes_keys() -> None:
    callee = Callee(slots=2)
    callee.gate.set()
    tasks = callee.submit(1, key="a") + callee.submit(2, key="b") + callee.submit(3, key="a")
    await asyncio.gather(*tasks)
    assert sorted(callee.calls) == [[1, 3], [2]]


async def test_a_call_has_no_more_members_than_it_may() -> None:
    callee = Callee(max_batch=4)
    callee.gate.set()
    assert await asyncio.gather(*callee.submit(*range(8))) == list(range(8))
    assert callee.calls == [[0, 1, 2, 3], [4, 5, 6, 7]]


async def test_no_more_calls_are_in_flight_than_may() -> None:
    callee = Callee(max_batch=1, slots=2)
    tasks = callee.submit(1, 2, 3)
    await turns()
    assert callee.calls == [[1], [2]]
    callee.gate.set()
    assert await asyncio.gather(*tasks) == [1, 2, 3]


async def test_keys_take_turns() -> None:
    callee = Callee(max_batch=1)
    callee.gate.set()
    await asyncio.gather(*callee.submit("a1", "a2", "a3", key="a"), *callee.submit("b1", key="b"))
    assert callee.calls.index(["b1"]) == 1


async def test_one_more_than_may_wait_is_refused() -> None:
    callee = Callee(max_waiting=2)
    callee.submit(0)
    await turns()
    waiting = callee.submit(1, 2)
    await turns()
    with pytest.raises(QueueFull):
        callee.coalescer.enter(3, "k", FAR)
    callee.gate.set()
    assert await asyncio.gather(*waiting) == [1, 2]


async def test_who_goes_later_goes_when_nobody_else_waits() -> None:
    callee = Callee(max_batch=2)
    tasks = callee.submit(0)
    await turns()
    tasks += callee.submit(1, 2, 3, later=True)
    tasks += callee.submit(4, 5, 6)
    tasks += callee.submit(7, key="other")
    await turns()
    callee.gate.set()
    await asyncio.gather(*tasks)
    assert callee.calls == [[0], [4, 5], [7], [6], [1, 2], [3]]


async def test_a_lone_arrival_that_goes_later_is_not_held_back() -> None:
    callee = Callee()
    callee.gate.set()
    assert await asyncio.gather(*callee.submit(1, later=True)) == [1]


async def test_those_who_go_later_take_room_in_the_queue_and_leave_it() -> None:
    callee = Callee(max_waiting=2)
    callee.submit(0)
    await turns()
    gone, kept = callee.submit(1, 2, later=True)
    await turns()
    with pytest.raises(QueueFull):
        callee.coalescer.enter(3, "k", FAR)
    gone.cancel()
    await turns()
    (fresh,) = callee.submit(3)
    callee.gate.set()
    assert await asyncio.gather(kept, fresh) == [2, 3]
    assert callee.calls == [[0], [3], [2]]


def test_those_who_have_expired_make_room_in_the_queue(in_virtual_time: Run) -> None:
    async def scenario() -> None:
        callee = Callee(max_waiting=2)
        callee.submit(0)
        await turns()
        gone = callee.submit(1, 2, deadline=1.0)
        await asyncio.sleep(2)
        fresh = callee.submit(3, 4)
        await turns()
        with pytest.raises(QueueFull):
            callee.coalescer.enter(5, "k", FAR)
        assert callee.coalescer.waiting == 2
        callee.gate.set()
        assert await asyncio.gather(*fresh) == [3, 4]
        assert [type(task.exception()) for task in gone] == [TimeoutError, TimeoutError]
        assert callee.calls == [[0], [3, 4]]

    in_virtual_time(scenario())


def test_a_member_expires_on_time_whatever_the_call_does(in_virtual_time: Run) -> None:
    async def scenario() -> None:
        callee = Callee()
        with pytest.raises(TimeoutError):
            await callee.infer(1, "k", 3.0)
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)

    in_virtual_time(scenario())


def test_a_call_ends_with_its_last_member_and_not_before(in_virtual_time: Run) -> None:
    async def scenario() -> None:
        callee = Callee()
        (short,) = callee.submit(1, deadline=1.0)
        (long,) = callee.submit(2, deadline=5.0)
        await asyncio.sleep(2)
        assert short.done()
        assert callee.cancelled == 0
        long.cancel()
        await turns()
        assert callee.cancelled == 1
        (following,) = callee.submit(3)
        callee.gate.set()
        assert await following == 3, "the call that has ended still holds its slot"

    in_virtual_time(scenario())


async def test_a_cancelled_waiter_is_never_dispatched() -> None:
    callee = Callee()
    callee.submit(0)
    await turns()
    gone, kept = callee.submit(1, 2)
    await turns()
    gone.cancel()
    callee.gate.set()
    assert await kept == 2
    assert callee.calls == [[0], [2]]


async def test_a_call_is_told_the_latest_deadline_of_its_members() -> None:
    callee = Callee()
    callee.gate.set()
    tasks = callee.submit(1, deadline=FAR) + callee.submit(2, deadline=FAR + 5)
    await asyncio.gather(*tasks)
    assert callee.deadlines == [FAR + 5]


async def test_what_a_call_raises_goes_to_every_member() -> None:
    callee = Callee()
    callee.gate.set()

    def fail(_: list[Any]) -> Sequence[Any]:
        raise LookupError

    callee.answer = fail
    results = await asyncio.gather(*callee.submit(1, 2), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, LookupError]


async def test_an_exception_among_the_results_goes_to_its_member_alone() -> None:
    callee = Callee()
    callee.gate.set()
    callee.answer = lambda items: [KeyError() if item == 2 else item for item in items]
    results = await asyncio.gather(*callee.submit(1, 2, 3), return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], KeyError)
    assert results[2] == 3


@pytest.mark.parametrize("answered", [[], [1], [1, 2, 3]])
def test_a_call_with_the_wrong_number_of_results_fails_for_all_its_members(
    in_virtual_time: Run, answered: list[Any]
) -> None:
    async def scenario() -> None:
        callee = Callee()
        callee.gate.set()
        callee.answer = lambda _: answered
        results = await asyncio.gather(
            *callee.submit("a", "b", deadline=50.0), return_exceptions=True
        )
        assert all(isinstance(result, Exception) for result in results)
        assert asyncio.get_running_loop().time() < 50, "the members waited for their deadline"

    in_virtual_time(scenario())


async def test_close_waits_for_those_in_flight_and_those_who_wait() -> None:
    callee = Callee()
    tasks = callee.submit(1)
    await turns()
    tasks += callee.submit(2)
    await turns()
    closing = asyncio.create_task(callee.coalescer.close(30))
    await turns()
    assert not closing.done()
    callee.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [1, 2]


async def test_a_closed_coalescer_takes_no_more() -> None:
    callee = Callee()
    await callee.coalescer.close(0)
    with pytest.raises(Closed):
        callee.coalescer.enter(1, "k", FAR)


def test_close_ends_every_wait_when_its_time_is_over(in_virtual_time: Run) -> None:
    async def scenario() -> None:
        callee = Callee()
        tasks = callee.submit(1)
        await turns()
        tasks += callee.submit(2)
        await turns()
        await callee.coalescer.close(3)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [Closed, Closed]
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)
        assert callee.cancelled == 1

    in_virtual_time(scenario())


def test_close_ends_the_wait_of_a_call_that_has_not_begun(in_virtual_time: Run) -> None:
    async def scenario() -> None:
        callee = Callee()
        (task,) = callee.submit(1, deadline=50.0)
        await asyncio.sleep(0)  # entered; the call is made in the loop's next turn
        await asyncio.create_task(callee.coalescer.close(0))
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, Closed)
        assert asyncio.get_running_loop().time() < 50, "the member waited for its deadline"

    in_virtual_time(scenario())


async def test_the_times_of_a_member_are_in_order() -> None:
    callee = Callee()
    callee.gate.set()
    member = callee.coalescer.enter(1, "k", FAR)
    other = callee.coalescer.enter(2, "k", FAR)
    await asyncio.gather(callee.coalescer.wait(member), callee.coalescer.wait(other))
    assert 0 < member.arrived <= other.arrived <= member.dispatched
    assert member.shared == other.shared == 2
