"""Gives shadows their turn: after the answers, only while there is room, and seldom.

A call to Triton costs about as much for many inputs as for one, and processor time that answers
would have had. So shadows go in rounds, which share calls, and rest after each for a multiple of
the time that it took: whatever the shadow is, it has a small part of the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Final

from control_plane.errors import TidegateError
from control_plane.routing.shadow.comparing import compare
from control_plane.routing.shadow.counts import ShadowCounts
from control_plane.routing.shadow.differences import Differences
from control_plane.routing.shadow.jobs import FAULTS, Drop, ShadowAnswer, ShadowJob
from control_plane.tasks import end
from control_plane.types import ModelRef

log = logging.getLogger(__name__)

MAX_WAITING: Final = 64
"""Requests that wait for their shadow in one process; their inputs stay in memory meanwhile."""
MAX_ROUND: Final = 16
"""Requests of a round at most: their turn in the event loop has to stay short."""
ROUND_S: Final = 0.01
"""What a round is to take, seconds: the one after a longer one is half as large, else twice."""
DUTY: Final = 0.05
"""Part of the time in which shadows are in flight, if not said otherwise."""
MIN_REST_S: Final = 0.02
"""Least time between two rounds, in which requests come together, seconds."""
MAX_REST_S: Final = 2.0
"""Most time between two rounds, seconds: a shadow that hangs does not end all others."""
TIMEOUT_S: Final = 10.0
"""What one shadow may take, seconds."""


class ShadowRunner:
    """The shadows of one process.

    An answer never waits for them: offering a request takes no more than a look at the queue.
    They are the first to go: what is offered, or still waits, while the stable version has waiting
    inputs is dropped and counted.
    """

    def __init__(
        self,
        run: Callable[[ShadowJob], Awaitable[ShadowAnswer]],
        counts: ShadowCounts,
        differences: Differences,
        is_pressed: Callable[[], bool],
        timeout_s: float = TIMEOUT_S,
        duty: float = DUTY,
    ) -> None:
        """Run shadows, once started.

        Args:
            run: Has the version answer; a :class:`TidegateError` is its answer, too.
            counts: Told of everything that comes of it.
            differences: Told of disagreements.
            is_pressed: True while the requests that are answered need the room.
            timeout_s: What one may take, seconds.
            duty: Part of the time in which shadows are in flight, above 0 to 1.
        """
        self._run = run
        self._counts = counts
        self._differences = differences
        self._is_pressed = is_pressed
        self._timeout_s = timeout_s
        self._duty = duty
        self._queue: asyncio.Queue[ShadowJob] = asyncio.Queue(MAX_WAITING)
        self._worker: asyncio.Task[None] | None = None
        self._is_open = False

    @property
    def dropped(self) -> Mapping[str, int]:
        """Requests that shadows did not see since the start, by reason."""
        return self._counts.dropped

    @property
    def waiting(self) -> int:
        """Requests that wait for their shadow."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to run."""
        self._is_open = True
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Give up what waits and what is in flight, and count it as dropped."""
        self._is_open = False
        if self._worker is not None:
            await end([self._worker])
        while not self._queue.empty():
            self._counts.drop(self._queue.get_nowait(), Drop.STOPPED)

    def has_room(self, rollout: str, ref: ModelRef) -> bool:
        """True if a request may be offered now; otherwise it is counted as dropped.

        Args:
            rollout: Id of the rollout.
            ref: The version that was to see it.
        """
        reason = self._obstacle()
        if reason is not None:
            self._counts.turn_away(rollout, ref, reason)
        return reason is None

    def offer(self, job: ShadowJob) -> None:
        """Have the shadow see a request that was answered, if there is room."""
        if self.has_room(job.rollout, job.ref):
            self._queue.put_nowait(job)

    def _obstacle(self) -> Drop | None:
        if not self._is_open:
            return Drop.STOPPED
        if self._queue.full():
            return Drop.FULL
        return Drop.PRESSED if self._is_pressed() else None

    async def _work(self) -> None:
        size = 1
        while True:
            jobs = [await self._queue.get()]
            while len(jobs) < size and not self._queue.empty():
                jobs.append(self._queue.get_nowait())
            began = perf_counter()
            await asyncio.gather(*[self._see(job) for job in jobs])
            took_s = perf_counter() - began
            size = max(size // 2, 1) if took_s > ROUND_S else min(size * 2, MAX_ROUND)
            await asyncio.sleep(rest_s(took_s, self._duty))

    async def _see(self, job: ShadowJob) -> None:
        if self._is_pressed():
            self._counts.drop(job, Drop.PRESSED)
            return
        try:
            self._settle(job, await self._answer(job))
        except asyncio.CancelledError:
            self._counts.drop(job, Drop.STOPPED)
            raise
        except Exception as error:
            # Without its text, which may quote the inputs; the next one may do better.
            log.warning("a shadow failed", extra={"fault": type(error).__name__})
            self._counts.failed(job, "INTERNAL")

    async def _answer(self, job: ShadowJob) -> ShadowAnswer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._run(job)
        except TimeoutError:
            return ShadowAnswer(error="DEADLINE_EXCEEDED")
        except TidegateError as error:
            return ShadowAnswer(error=error.code)

    def _settle(self, job: ShadowJob, answer: ShadowAnswer) -> None:
        if answer.error:
            self._counts.failed(job, answer.error)
            if answer.error in FAULTS:
                self._differences.note(job, answer, 1.0)
            return
        found = compare(job.answered, answer.predicted)
        if found is None:
            self._counts.drop(job, Drop.INCOMPARABLE)
            return
        self._counts.compared(job, answer, found)
        if not found.agreed:
            self._differences.note(job, answer, found.distance)


def rest_s(took_s: float, duty: float = DUTY) -> float:
    """How long shadows rest after a round, seconds.

    Args:
        took_s: What the round took, seconds.
        duty: Part of the time in which they are in flight, above 0 to 1.
    """
    return min(max(took_s * (1 / duty - 1), MIN_REST_S), MAX_REST_S)
