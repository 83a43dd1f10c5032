"""Claims jobs of one size, as many as there are free slots for, and lets them be worked on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from control_plane.errors import TidegateError
from control_plane.jobs.shapes import Claim, Hold, Size
from control_plane.jobs.store import JobStore
from control_plane.jobs.work.holds import Held, Holds
from control_plane.tasks import end

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds after which jobs are asked for though nobody said that there are some."""
MOST: Final = 64
"""Jobs of one claim: a script holds up all others while it runs."""


class Runner:
    """The slots of one size."""

    def __init__(
        self,
        size: Size,
        slots: int,
        *,
        worker: str,
        store: JobStore,
        holds: Holds,
        work: Callable[[Held], Awaitable[None]],
        is_able: Callable[[], bool],
    ) -> None:
        """Claim nothing yet.

        Args:
            size: Of the jobs.
            slots: Jobs at once.
            worker: Name of this process.
            store: Gives the jobs.
            holds: Gives signs of life of them.
            work: Works on one.
            is_able: False while no job could be done: none is claimed then, as claims count as
                attempts.
        """
        self.size = size
        self._slots = slots
        self._worker = worker
        self._store = store
        self._holds = holds
        self._work = work
        self._is_able = is_able
        self._tasks: dict[asyncio.Task[None], Held] = {}
        self._woken = asyncio.Event()
        self._is_stopping = False

    @property
    def held(self) -> int:
        """Jobs in these slots."""
        return len(self._tasks)

    def wake(self) -> None:
        """Ask for jobs now: there are some, or a slot is free."""
        self._woken.set()

    async def run(self) -> None:
        """Claim until :meth:`stop`."""
        while not self._is_stopping:
            self._woken.clear()
            free = min(MOST, self._slots - len(self._tasks)) if self._is_able() else 0
            if free > 0 and await self._claim(free) >= free:
                continue
            if not self._is_stopping:
                await self._rest()

    def stop(self) -> None:
        """Claim no more; :meth:`run` ends after the claim that is under way."""
        self._is_stopping = True
        self._woken.set()

    async def settle(self, seconds: float) -> list[Hold]:
        """Let jobs finish for some seconds, then end the work on the others.

        Returns:
            What is still held, to be handed back.
        """
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)
        left = dict(self._tasks)
        await end(left)
        return [held.hold for task, held in left.items() if task.cancelled()]

    async def _claim(self, count: int) -> int:
        try:
            claims = await self._store.claim(self._worker, self.size, count)
        except TidegateError as error:
            log.warning("no jobs can be claimed", extra={"fault": error.code})
            return 0
        for claim in claims:
            self._begin(claim)
        return len(claims)

    def _begin(self, claim: Claim) -> None:
        held = Held(claim)
        self._holds.add(held)
        held.task = task = asyncio.create_task(self._worked(held))
        self._tasks[task] = held
        task.add_done_callback(self._ended)

    async def _worked(self, held: Held) -> None:
        await self._work(held)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the work on a job broke off", exc_info=error)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._woken.wait()
        except TimeoutError:
            return
