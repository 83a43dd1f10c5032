"""Gives shadows their turn: after the answers, and only while there is room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from control_plane.errors import TidegateError
from control_plane.routing.shadow.comparing import compare
from control_plane.routing.shadow.counts import ShadowCounts
from control_plane.routing.shadow.differences import Differences
from control_plane.routing.shadow.jobs import FAULTS, Drop, ShadowAnswer, ShadowJob

log = logging.getLogger(__name__)

MAX_WAITING: Final = 64
"""Requests that wait for their shadow in one process; their inputs stay in memory meanwhile."""
CONCURRENCY: Final = 2
"""Shadows in flight in one process."""
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
    ) -> None:
        """Run shadows, once started.

        Args:
            run: Has the version answer; a :class:`TidegateError` is its answer, too.
            counts: Told of everything that comes of it.
            differences: Told of disagreements.
            is_pressed: True while the requests that are answered need the room.
            timeout_s: What one may take, seconds.
        """
        self._run = run
        self._counts = counts
        self._differences = differences
        self._is_pressed = is_pressed
        self._timeout_s = timeout_s
        self._queue: asyncio.Queue[ShadowJob] = asyncio.Queue(MAX_WAITING)
        self._workers: list[asyncio.Task[None]] = []
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
        self._workers = [asyncio.create_task(self._work()) for _ in range(CONCURRENCY)]

    async def close(self) -> None:
        """Give up what waits and what is in flight, and count it as dropped."""
        self._is_open = False
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._queue.empty():
            self._counts.drop(self._queue.get_nowait(), Drop.STOPPED)

    def offer(self, job: ShadowJob) -> None:
        """Have the shadow see a request that was answered, if there is room."""
        if not self._is_open:
            self._counts.drop(job, Drop.STOPPED)
        elif self._is_pressed():
            self._counts.drop(job, Drop.PRESSED)
        elif self._queue.full():
            self._counts.drop(job, Drop.FULL)
        else:
            self._queue.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            if self._is_pressed():
                self._counts.drop(job, Drop.PRESSED)
                continue
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
