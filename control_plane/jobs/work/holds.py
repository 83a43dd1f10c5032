"""The jobs in one worker's hands: signs of life, progress, and word that one is to be left."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from control_plane.errors import TidegateError
from control_plane.jobs.shapes import Claim, Hold
from control_plane.jobs.store import Beat, JobStore

log = logging.getLogger(__name__)

BEATS: Final = 3
"""Signs of life within a lease, so that one may be lost."""
SOON_S: Final = 0.25
"""Progress is told so often at most, seconds."""
RUNNING_MOST: Final = 99
"""Progress of a job that has not ended."""


class Held:
    """A job in hand.

    Attributes:
        claim: As it was given.
        hold: What this worker names when it speaks of it.
        task: Works on it.
        progress: 0 to 99.
        is_lost: True once it is not this worker's any more.
        is_ending: True once its end is being told, which the fence decides about.
    """

    __slots__ = ("claim", "hold", "is_ending", "is_lost", "progress", "task", "told")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.hold = Hold(claim.job.id, claim.fence)
        self.task: asyncio.Task[None] | None = None
        self.progress = claim.job.progress
        self.told = self.progress
        self.is_lost = False
        self.is_ending = False

    def lose(self) -> None:
        """Stop working on it: whatever would come of it is refused."""
        if not self.is_ending and not self.is_lost and self.task is not None:
            self.is_lost = True
            self.task.cancel()


class Holds:
    """Every job in hand, of all sizes."""

    def __init__(self, store: JobStore, lease_s: float) -> None:
        """Hold nothing yet.

        Args:
            store: Where signs of life go.
            lease_s: Seconds without one after which a job goes to another worker.
        """
        self._store = store
        self._every_s = lease_s / BEATS
        self._held: dict[Hold, Held] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, held: Held) -> None:
        """Take a job in hand."""
        self._held[held.hold] = held

    def remove(self, held: Held) -> None:
        """Let go of a job, however it ended."""
        self._held.pop(held.hold, None)

    def progress(self, held: Held, percent: float) -> None:
        """Note what is done of a job; what is less than before is ignored.

        Args:
            held: The job.
            percent: 0 to 100.
        """
        known = min(RUNNING_MOST, int(percent))
        if known > held.progress:
            held.progress = known
            self._changed.set()

    def stop(self, job_id: str) -> None:
        """Leave a job at once, if it is here: it was canceled, or its time is over."""
        for held in list(self._held.values()):
            if held.hold.id == job_id:
                held.lose()

    def ask_again(self) -> None:
        """Give a sign of every job at once: word that one is to be left may have been missed."""
        for held in self._held.values():
            held.told = -1
        self._changed.set()

    async def beat(self) -> None:
        """Give signs of life until cancelled; a job that is not ours any more is left."""
        loop = asyncio.get_running_loop()
        everything_at = loop.time() + self._every_s
        while True:
            if loop.time() >= everything_at:
                due = list(self._held.values())
                everything_at = loop.time() + self._every_s
            else:
                due = [held for held in self._held.values() if held.progress != held.told]
            self._changed.clear()
            if not await self._tell([held for held in due if not held.is_ending]):
                everything_at = loop.time()
            await asyncio.sleep(min(SOON_S, self._every_s))
            if not self._changed.is_set():
                await self._rest(everything_at)

    async def _rest(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _tell(self, due: list[Held]) -> bool:
        """Give signs of some jobs; False if the server did not take them."""
        if not due:
            return True
        beats = [Beat(held.hold, held.progress) for held in due]
        try:
            answers = await self._store.beat(beats)
        except TidegateError as error:
            log.warning("no sign of life could be given", extra={"fault": error.code})
            self._changed.set()
            return False
        for held, beat, is_ours in zip(due, beats, answers, strict=True):
            held.told = beat.progress
            if not is_ours:
                held.lose()
        return True
