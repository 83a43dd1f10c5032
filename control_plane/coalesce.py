"""Natural batching: while a call is in flight arrivals wait, and then go together in one call.

There is no timer, so a lone request is never held back; the batch grows by itself as the callee
slows down. The first arrival of an idle moment waits for the end of the event loop's current
turn, so that requests read from the sockets in one turn share a call.

Guarantees:

- At most ``slots`` calls are in flight, each of at most ``max_batch`` members of one key.
- At most ``max_waiting`` members wait; one more is refused with :class:`QueueFull`.
- Keys take turns, members of a key keep their order; who said ``later`` goes when no other waits.
- A member whose deadline has passed gets ``TimeoutError`` on time and is never dispatched; a call
  whose last member has gone is cancelled, unless calls are not to be abandoned.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_Turn = tuple[Hashable, bool]
"""A key, and whether its members go later than all others."""

Run = Callable[[list[Item], float], Awaitable[Sequence[Result | Exception]]]


class QueueFull(Exception):
    """More members wait than may."""


class Closed(Exception):
    """The coalescer takes no more members."""


class Waiting(Generic[Item, Result]):
    """One member, from its arrival to its result.

    Attributes:
        item: What the call is made with.
        key: Only members of equal keys share a call.
        deadline: Event-loop time after which nobody waits for the result, seconds.
        arrived: ``perf_counter()`` of arrival, seconds.
        dispatched: ``perf_counter()`` of the start of its call; 0 while it waits.
        shared: Number of members of its call; 0 while it waits.
        future: The result.
    """

    __slots__ = ("_call", "arrived", "deadline", "dispatched", "future", "item", "key", "shared")

    def __init__(
        self, item: Item, key: Hashable, deadline: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.item = item
        self.key = key
        self.deadline = deadline
        self.arrived = perf_counter()
        self.dispatched = 0.0
        self.shared = 0
        self.future: asyncio.Future[Result] = loop.create_future()
        self._call: _Call | None = None

    def expire(self) -> None:
        """End the wait with ``TimeoutError``."""
        if not self.future.done():
            self.future.set_exception(TimeoutError())
            self.leave()

    def leave(self) -> None:
        """Nobody waits for this member any more; its call ends with its last member."""
        if self._call is not None:
            self._call.left()
            self._call = None

    def board(self, call: _Call | None, now: float, shared: int) -> None:
        """Note the call that carries this member, if it is to end with its last member."""
        self._call = call
        self.dispatched = now
        self.shared = shared


class _Call:
    """A call in flight and the number of members that still wait for it."""

    __slots__ = ("members", "task")

    def __init__(self, members: int) -> None:
        self.members = members
        self.task: asyncio.Task[None] | None = None

    def left(self) -> None:
        self.members -= 1
        if self.members == 0 and self.task is not None:
            self.task.cancel()


class Coalescer(Generic[Item, Result]):
    """Joins concurrent submissions into shared calls."""

    def __init__(
        self,
        run: Run[Item, Result],
        *,
        max_batch: int,
        slots: int,
        max_waiting: int,
        fit: Callable[[Hashable], int] | None = None,
        abandon: bool = True,
    ) -> None:
        """Set the bounds.

        Args:
            run: Makes one call for some items, with the event-loop time after which nobody waits
                for it; returns a result or an exception for each item, in order. What it raises
                goes to all members.
            max_batch: Members of a call, at least 1.
            slots: Calls in flight, at least 1.
            max_waiting: Members that may wait, at least 1.
            fit: Members of a call of one key, at least 1, where that may be fewer.
            abandon: Cancel a call whose last member has gone; not of one with lasting effects.
        """
        self._run = run
        self._fit = fit
        self._abandon = abandon
        self.max_batch = max_batch
        self._slots = slots
        self._max_waiting = max_waiting
        self._loop = asyncio.get_running_loop()
        self._queues: dict[_Turn, deque[Waiting[Item, Result]]] = {}
        self._turns: deque[_Turn] = deque()
        self._later: deque[_Turn] = deque()
        self._waiting = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """Members that wait for a slot, expired ones not yet swept included."""
        return self._waiting

    def enter(
        self, item: Item, key: Hashable, deadline: float, *, later: bool = False
    ) -> Waiting[Item, Result]:
        """Queue an item.

        Args:
            item: What the call is made with.
            key: Only items of equal keys share a call.
            deadline: Event-loop time after which the wait ends with ``TimeoutError``.
            later: True if it goes only when no other member waits.

        Raises:
            QueueFull: If ``max_waiting`` members wait.
            Closed: After :meth:`close`.
        """
        if self._closed:
            raise Closed
        if self._waiting >= self._max_waiting:
            self._sweep()
            if self._waiting >= self._max_waiting:
                raise QueueFull
        member: Waiting[Item, Result] = Waiting(item, key, deadline, self._loop)
        turn = (key, later)
        queue = self._queues.get(turn)
        if queue is None:
            queue = self._queues[turn] = deque()
            (self._later if later else self._turns).append(turn)
        queue.append(member)
        self._waiting += 1
        if not self._scheduled and len(self._calls) < self._slots:
            self._scheduled = True
            self._loop.call_soon(self._pump)
        return member

    async def wait(self, member: Waiting[Item, Result]) -> Result:
        """Wait for a member's result.

        Raises:
            TimeoutError: At the deadline, whatever the call does.
            Exception: What the call raised or returned for this item.
        """
        timer = self._loop.call_at(member.deadline, member.expire)
        try:
            return await member.future
        except asyncio.CancelledError:
            member.leave()
            raise
        finally:
            timer.cancel()

    async def close(self, timeout_s: float) -> None:
        """Take no more members; wait for those that are here, then cancel what is left."""
        self._closed = True
        end = self._loop.time() + timeout_s
        while (self._calls or self._waiting) and self._loop.time() < end:
            self._sweep()
            if self._calls:
                await asyncio.wait(self._calls, timeout=max(0.0, end - self._loop.time()))
            await asyncio.sleep(0)
        for task in self._calls:
            task.cancel()
        for queue in self._queues.values():
            for member in queue:
                if not member.future.done():
                    member.future.set_exception(Closed())

    def _pump(self) -> None:
        self._scheduled = False
        while (self._turns or self._later) and len(self._calls) < self._slots:
            batch = self._take()
            if batch:
                self._dispatch(batch)

    def _take(self) -> list[Waiting[Item, Result]]:
        """The next batch of the key whose turn it is; those who have gone are dropped."""
        turns = self._turns or self._later
        turn = turns.popleft()
        queue = self._queues[turn]
        batch: list[Waiting[Item, Result]] = []
        now = self._loop.time()
        most = self.max_batch if self._fit is None else min(self.max_batch, self._fit(turn[0]))
        while queue and len(batch) < most:
            member = queue.popleft()
            self._waiting -= 1
            if member.future.done():
                continue
            if member.deadline <= now:
                member.expire()
            else:
                batch.append(member)
        if queue:
            turns.append(turn)
        else:
            del self._queues[turn]
        return batch

    def _dispatch(self, batch: list[Waiting[Item, Result]]) -> None:
        call = _Call(len(batch))
        now = perf_counter()
        for member in batch:
            member.board(call if self._abandon else None, now, len(batch))
        task = self._loop.create_task(self._deliver(batch))
        call.task = task
        self._calls.add(task)
        task.add_done_callback(partial(self._ended, batch))

    def _ended(self, batch: list[Waiting[Item, Result]], task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        for member in batch:
            # Of a task that was cancelled before its first step, or that lost count of results.
            if not member.future.done():
                member.future.set_exception(Closed())
        self._pump()

    async def _deliver(self, batch: list[Waiting[Item, Result]]) -> None:
        deadline = max(member.deadline for member in batch)
        results: Sequence[Result | Exception]
        try:
            results = await self._run([member.item for member in batch], deadline)
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} members")
        except asyncio.CancelledError:
            results = [Closed()] * len(batch)
        except Exception as error:
            results = [error] * len(batch)
        for member, result in zip(batch, results, strict=True):
            if member.future.done():
                continue
            if isinstance(result, Exception):
                member.future.set_exception(result)
            else:
                member.future.set_result(result)

    def _sweep(self) -> None:
        """Drop the members that have gone; the queues then hold only those that wait."""
        for turn, queue in list(self._queues.items()):
            kept = deque(member for member in queue if not member.future.done())
            self._waiting -= len(queue) - len(kept)
            if kept:
                self._queues[turn] = kept
            else:
                del self._queues[turn]
                (self._later if turn[1] else self._turns).remove(turn)
