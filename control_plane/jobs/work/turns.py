"""Inputs of jobs wait for their turn before the model's own queue, where time does not count.

A worker holds more inputs than a slow model answers within a deadline. The lane's deadline is what
one call may take and a little waiting; so an input enters the lane only while no more than
one call's worth of others waits there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from control_plane.inference.lane import Lane, Outcome
from control_plane.types import EncodedInput

WAIT_S: Final = 60.0
"""What an input may wait in the lane beyond the deadline of its contract, seconds: other processes
share the model, and nobody waits for a job."""
LOOK_S: Final = 1.0
"""Seconds after which the lane is looked at though nothing of ours has left it."""


class Turns:
    """Lets the inputs of one worker into the lanes, in the order of their coming."""

    def __init__(self) -> None:
        """Nothing waits yet."""
        self._queues: dict[Lane, deque[asyncio.Future[None]]] = {}

    async def infer(self, lane: Lane, item: EncodedInput, deadline_s: float) -> Outcome:
        """Run one input through the model once it is its turn.

        Args:
            lane: Of the model version.
            item: The encoded input.
            deadline_s: What the contract allows for a prediction, seconds.

        Raises:
            TidegateError: As ``Lane.infer`` does.
        """
        loop = asyncio.get_running_loop()
        if lane.behind:
            await self._turn(lane)
        loop.call_soon(self._next, lane)  # it may be the turn of more than one
        try:
            return await lane.infer(item, loop.time() + deadline_s + WAIT_S)
        finally:
            self._next(lane)

    async def _turn(self, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        waited = False
        while lane.behind:
            turn: asyncio.Future[None] = loop.create_future()
            queue = self._queues.setdefault(lane, deque())
            (queue.appendleft if waited else queue.append)(turn)
            timer = loop.call_later(LOOK_S, _end, turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._next(lane)
                raise
            finally:
                timer.cancel()
                self._forget(lane, turn)
            waited = True

    def _forget(self, lane: Lane, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(lane)
        if queue is not None:
            with suppress(ValueError):
                queue.remove(turn)
            if not queue:
                del self._queues[lane]

    def _next(self, lane: Lane) -> None:
        queue = self._queues.get(lane)
        while queue and not lane.behind:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def _end(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
