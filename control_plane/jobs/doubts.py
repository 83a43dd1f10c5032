"""Submissions that may have been kept or not: the answer was lost, the client got 503.

They stay paid until the server that keeps jobs answers again and says what became of them. What it
has is an ordinary job; what it does not have goes to the refunds. A process that ends before that
leaves at most these paid for nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from redis.exceptions import ResponseError

from control_plane.errors import TidegateError
from control_plane.jobs.shapes import Submission
from control_plane.jobs.store import JobStore

log = logging.getLogger(__name__)

MOST: Final = 10_000
ROUND_S: Final = 1.0
LATE_S: Final = 3.0
"""What a server that was paused may still carry out of what it was sent before, seconds."""
STEP: Final = 200


def is_doubtful(error: BaseException) -> bool:
    """True if what was to be kept may have been: the server was sent it, and did not refuse."""
    cause = error.__cause__
    return (
        isinstance(error, TidegateError)
        and error.code == "JOBS_UNAVAILABLE"
        and cause is not None
        and not isinstance(cause, ResponseError)
    )


class Doubts:
    """The doubtful submissions of one process."""

    def __init__(self, store: JobStore, late_s: float = LATE_S) -> None:
        """Doubt nothing yet.

        Args:
            store: Knows.
            late_s: Seconds between an answer and the one that counts.
        """
        self._store = store
        self._late_s = late_s
        self._open: dict[str, Submission] = {}

    def note(self, submission: Submission) -> bool:
        """Take one up; False if there are too many, and it is to be refunded at once."""
        if len(self._open) >= MOST:
            return False
        self._open[submission.id] = submission
        return True

    async def run(self) -> None:
        """Settle what is doubtful until cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self.settle()
            except TidegateError:
                log.debug("%d submissions stay in doubt", len(self._open))

    async def settle(self) -> None:
        """Ask what became of those in doubt now; they are in doubt no more.

        Raises:
            TidegateError: JOBS_UNAVAILABLE; the rest stays in doubt.
        """
        ids = list(self._open)
        if not ids:
            return
        await self._store.known(ids[:1])
        await asyncio.sleep(self._late_s)
        for start in range(0, len(ids), STEP):
            part = ids[start : start + STEP]
            known = await self._store.known(part)
            away = [self._open[job_id] for job_id in part if job_id not in known]
            lost = [submission for submission in away if submission.units]
            await self._store.give_back(lost)
            for job_id in part:
                del self._open[job_id]
            log.info("submissions in doubt", extra={"kept": len(known), "refunded": len(lost)})
