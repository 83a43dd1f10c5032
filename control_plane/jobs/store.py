"""The store of jobs on the system of record: every transition is one of its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio as redis

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.durability import Durability
from control_plane.jobs.identifiers import is_job_id
from control_plane.jobs.moves import Moves
from control_plane.jobs.queries import Queries, fields_of, job_of, not_found
from control_plane.jobs.replies import Beat, Forgettable, JobQuery, Kept, Submitted, Swept
from control_plane.jobs.scripts import parts
from control_plane.jobs.shapes import Job, State, Submission
from control_plane.jobs.steps import Steps, reached, unavailable
from control_plane.jobs.upkeep import Upkeep
from control_plane.setting_groups import JobSettings

__all__ = ["Beat", "Forgettable", "JobQuery", "JobStore", "Kept", "Submitted", "Swept"]

KEY_MS: Final = 86_400_000
"""How long an idempotency key is remembered: 24 hours, in milliseconds."""


class JobStore(Queries, Moves, Upkeep):
    """Jobs: taken in, read, worked on, swept; see ``docs/jobs.md`` for what each change guards."""

    def __init__(self, server: redis.Redis, settings: JobSettings) -> None:
        """Keep jobs on a server.

        Args:
            server: The system of record; decodes nothing.
            settings: Of jobs.
        """
        steps = Steps(server)
        Queries.__init__(self, steps)
        Moves.__init__(self, steps, settings)
        Upkeep.__init__(self, steps, settings)
        self._most = settings.pending_per_tenant
        self._durability = Durability(server, settings.durability)

    async def submit(self, submissions: Sequence[Submission]) -> list[Submitted | TidegateError]:
        """Take jobs in; what comes back without an error is kept whatever happens.

        The same submissions may come again if an answer was lost: each id makes one job.

        Returns:
            For each a job, or TOO_MANY_JOBS or IDEMPOTENCY_CONFLICT.

        Raises:
            TidegateError: JOBS_UNAVAILABLE if the server is away, full, or not durable.
        """
        await self._is_durable()
        told: list[Submitted | TidegateError] = []
        for part in parts(submissions, lambda submission: len(submission.spec)):
            values: dict[str, Any] = {"most": self._most, "key_ms": KEY_MS, "jobs": part}
            try:
                replies = await self._steps.move("submit", values)
            except TidegateError as error:
                self._durability.doubt()
                if not told:
                    raise
                return [*told, *[error] * (len(submissions) - len(told))]
            told += [self._told(*reply) for reply in replies]
        return told

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """End a job at once, whoever works on it; one that was canceled stays so.

        Args:
            tenant: Whose job it has to be; empty for any, on behalf of an operator.
            job_id: Which.

        Raises:
            TidegateError: NOT_FOUND, JOBS_UNAVAILABLE, or JOB_ENDED if it ended another way.
        """
        if not is_job_id(job_id):
            raise not_found()
        values = {"id": job_id, "tenant": tenant, "kept_ms": self._kept_ms}
        flat = await self._steps.move("cancel", values)
        if not flat:
            raise not_found()
        job = job_of(job_id, fields_of(flat))
        if job.state is not State.CANCELED:
            raise TidegateError(
                f"The job is {job.state}", code="JOB_ENDED", details={"status": job.state}
            )
        return job

    async def bury(self, job_id: str) -> None:
        """Take a job off the list of dead letters: somebody has seen to it.

        Raises:
            TidegateError: JOBS_UNAVAILABLE.
        """
        await self._steps.again(lambda: self._steps.server.zrem(layout.DEAD, job_id))

    async def _is_durable(self) -> None:
        async with reached():
            reason = await self._durability.reason()
        if reason is not None:
            raise unavailable("The server that keeps the jobs is not durable")

    def _told(self, word: bytes, replayed: int = 0) -> Submitted | TidegateError:
        if word == b"conflict":
            return TidegateError(
                "The Idempotency-Key came with another request before", code="IDEMPOTENCY_CONFLICT"
            )
        if word == b"full":
            return TidegateError(
                "The tenant has as many open jobs as it may",
                code="TOO_MANY_JOBS",
                details={"limit": self._most},
                headers={"retry-after": "1"},
            )
        return Submitted(word.decode(), bool(replayed))
