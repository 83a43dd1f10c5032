"""The guarantees of the coalescer under any schedule of arrivals, calls and departures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import product
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.coalesce import Coalescer, QueueFull, Waiting

Run = Callable[[Coroutine[Any, Any, Any]], Any]
EPSILON = 1e-6


class Arrival(NamedTuple):
    at: int
    key: str
    timeout: float
    leaves_after: float | None
    later: bool


class Behaviour(NamedTuple):
    takes: float
    fails: bool
    bad_item: int | None


class Member(NamedTuple):
    number: int
    key: str
    deadline: float
    gone_at: float
    later: bool


arrivals = st.lists(
    st.builds(
        Arrival,
        st.integers(0, 5),
        st.sampled_from("abc"),
        st.sampled_from([-1.0, 0.0]) | st.integers(0, 8).map(lambda n: n + 0.5),
        st.none() | st.integers(0, 6).map(lambda n: n + 0.25),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)
behaviours = st.lists(
    st.builds(
        Behaviour,
        st.sampled_from([0.0, 0.1, 1.1, 3.1, 9.1]),
        st.booleans(),
        st.none() | st.integers(0, 3),
    ),
    min_size=1,
    max_size=5,
)
patient = st.builds(
    Arrival,
    st.integers(0, 3),
    st.sampled_from("abc"),
    st.just(50.5),
    st.none() | st.integers(2, 6).map(lambda n: n + 0.25),
    st.booleans(),
)
slow = st.builds(Behaviour, st.sampled_from([1.1, 3.1]), st.booleans(), st.none())
bounds = st.fixed_dictionaries(
    {"max_batch": st.integers(1, 3), "slots": st.integers(1, 3), "max_waiting": st.integers(1, 6)}
)


class World:
    """One schedule and everything that was seen of it."""

    def __init__(self, limits: dict[str, int], script: Sequence[Behaviour]) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.script = script
        self.broken: list[str] = []
        self.entered = 0
        self.in_flight = 0
        self.calls: list[list[Member]] = []
        self.waits: list[Waiting[Member, int]] = []
        self.outcomes: dict[int, list[tuple[float, Any]]] = {}
        self.coalescer: Coalescer[Member, int] = Coalescer(self.run, **limits)

    def check(self, broken: str, holds: bool) -> None:  # noqa: FBT001
        """Note a broken guarantee: what a call raises goes to its members, not to the test."""
        if not holds:
            self.broken.append(broken)

    async def run(self, items: list[Member], deadline: float) -> list[int | Exception]:
        behaviour = self.script[len(self.calls) % len(self.script)]
        started = self.loop.time()
        self.calls.append(items)
        self.in_flight += 1
        self.check("too many calls", self.in_flight <= self.limits["slots"])
        self.check("too large a call", 1 <= len(items) <= self.limits["max_batch"])
        self.check("mixed keys", len({(member.key, member.later) for member in items}) == 1)
        self.check("expired", all(member.deadline > started for member in items))
        self.check("gone", all(member.gone_at >= started - EPSILON for member in items))
        self.check("deadline", deadline == max(member.deadline for member in items))
        ended = min(started + behaviour.takes, max(member.gone_at for member in items))
        try:
            await asyncio.sleep(behaviour.takes)
        finally:
            self.in_flight -= 1
            self.check("outlived its members", abs(self.loop.time() - ended) < EPSILON)
        if behaviour.fails:
            raise LookupError
        return [
            KeyError() if index == behaviour.bad_item else member.number
            for index, member in enumerate(items)
        ]

    async def infer(self, member: Member) -> int:
        entered = self.coalescer.enter(member, member.key, member.deadline, later=member.later)
        self.waits.append(entered)
        return await self.coalescer.wait(entered)

    async def submit(self, arrival: Arrival) -> None:
        await asyncio.sleep(arrival.at)
        number = self.entered
        self.entered += 1
        deadline = self.loop.time() + arrival.timeout
        left = arrival.leaves_after
        gone_at = max(self.loop.time(), deadline)
        gone_at = gone_at if left is None else min(gone_at, self.loop.time() + left)
        member = Member(number, arrival.key, deadline, gone_at, arrival.later)
        task = asyncio.create_task(self.infer(member))
        if left is not None:
            self.loop.call_later(left, task.cancel)
        await asyncio.wait([task])
        assert self.coalescer.waiting <= self.limits["max_waiting"]
        outcome = CancelledError if task.cancelled() else task.exception() or task.result()
        self.outcomes.setdefault(number, []).append((self.loop.time() - gone_at, outcome))


CancelledError = asyncio.CancelledError


async def play(
    limits: dict[str, int], script: Sequence[Behaviour], schedule: Sequence[Arrival]
) -> World:
    world = World(limits, script)
    await asyncio.gather(*[world.submit(arrival) for arrival in schedule])
    await world.coalescer.close(0)
    assert world.in_flight == 0
    assert world.broken == []
    return world


@settings(max_examples=100)
@given(bounds, behaviours, arrivals)
def test_every_guarantee_holds_under_any_schedule(
    in_virtual_time: Run,
    limits: dict[str, int],
    script: list[Behaviour],
    schedule: list[Arrival],
) -> None:
    world: World = in_virtual_time(play(limits, script, schedule))
    dispatched = [member.number for call in world.calls for member in call]
    assert len(dispatched) == len(set(dispatched)), "a member was dispatched twice"
    assert len(world.outcomes) == len(schedule)
    for number, seen in world.outcomes.items():
        assert len(seen) == 1
        late, outcome = seen[0]
        assert late < EPSILON, "a member waited beyond its deadline"
        if isinstance(outcome, int):
            assert outcome == number, "a member got the result of another"
        if isinstance(outcome, TimeoutError) or outcome is CancelledError:
            assert abs(late) < EPSILON, "a member was given up before its time"
        if isinstance(outcome, (QueueFull, TimeoutError)) and number in dispatched:
            assert isinstance(outcome, TimeoutError), "a refused member was dispatched"


@given(bounds, behaviours, arrivals)
def test_members_of_a_key_keep_their_order_under_any_schedule(
    in_virtual_time: Run,
    limits: dict[str, int],
    script: list[Behaviour],
    schedule: list[Arrival],
) -> None:
    world: World = in_virtual_time(play(limits, script, schedule))
    for turn in product("abc", (False, True)):
        numbers = [m.number for call in world.calls for m in call if (m.key, m.later) == turn]
        assert numbers == sorted(numbers)


@given(st.lists(patient, min_size=5, max_size=20), st.lists(slow, min_size=1, max_size=5))
def test_who_goes_later_overtakes_nobody_under_any_schedule(
    in_virtual_time: Run, schedule: list[Arrival], script: list[Behaviour]
) -> None:
    narrow = {"max_batch": 2, "slots": 1, "max_waiting": 20}
    world: World = in_virtual_time(play(narrow, script, schedule))
    dispatched = [wait for wait in world.waits if wait.dispatched]
    for late in [wait for wait in dispatched if wait.item.later]:
        for other in [wait for wait in dispatched if not wait.item.later]:
            waited = other.arrived < late.dispatched < other.dispatched
            assert not waited, "a member went before one that does not go later"
