"""The life of a job as its owner sees it: submitted, awaited, read, listed, canceled."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Raw, Struct

from control_plane.choice import PredictCall
from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.changes import JobChanges
from control_plane.jobs.intake import Intake, Terms
from control_plane.jobs.replies import JobQuery
from control_plane.jobs.requests import JobRequest
from control_plane.jobs.shapes import Job, State, Submission
from control_plane.jobs.store import JobStore
from control_plane.records.pages import Page
from control_plane.sealing import Sealer, Unsealable

LOOK_S: Final = 1.0
"""Who waits for a job looks at it so often, whatever was heard."""


class LargeResults(Protocol):
    """Where results lie that are too large for the store of jobs."""

    async def get(self, key: str) -> bytes:
        """What lies under a key.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """


class Taken(Struct, frozen=True):
    """A submission that was kept.

    Attributes:
        job: As it was just now.
        replayed: True if an earlier request with the same idempotency key had made it.
    """

    job: Job
    replayed: bool


class Jobs:
    """Jobs, for this process's callers.

    Attributes:
        changes: Tells of them.
    """

    def __init__(
        self,
        store: JobStore,
        changes: JobChanges,
        intake: Intake,
        sealer: Sealer,
        large: LargeResults,
    ) -> None:
        """Work with parts that are open.

        Args:
            store: Keeps the jobs.
            changes: Tells of them.
            intake: Takes them in.
            sealer: Has encrypted the results.
            large: Keeps the large ones.
        """
        self.changes = changes
        self._store = store
        self._intake = intake
        self._sealer = sealer
        self._large = large

    @staticmethod
    def now_ms() -> int:
        """Epoch milliseconds by this process's clock."""
        return time.time_ns() // 1_000_000

    async def submit(self, call: PredictCall, request: JobRequest, terms: Terms) -> Taken:
        """Take a job in; see :meth:`Intake.submit`."""
        submission, submitted = await self._intake.submit(call, request, terms)
        if submitted.replayed:
            return Taken(await self.read(submission.tenant, submitted.id), replayed=True)
        return Taken(_begun(submission), replayed=False)

    async def wait(self, job: Job, seconds: float) -> Job:
        """The job once it has ended, or as it is after some seconds.

        Raises:
            TidegateError: NOT_FOUND or JOBS_UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        with self.changes.heard(job.id) as event:
            while not job.state.is_end and (left := until - loop.time()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, LOOK_S)):
                        await event.wait()
                event.clear()
                job = await self.read(job.tenant, job.id)
        return job

    async def read(self, tenant: str, job_id: str) -> Job:
        """A job of a tenant's.

        Raises:
            TidegateError: NOT_FOUND or JOBS_UNAVAILABLE.
        """
        return await self._store.read(tenant, job_id)

    async def page(self, tenant: str, query: JobQuery, cursor: str | None, limit: int) -> Page[Job]:
        """Jobs of a tenant's, newest first.

        Raises:
            TidegateError: INVALID_PARAMETER for a cursor that is none, or JOBS_UNAVAILABLE.
        """
        return await self._store.page(tenant, query, cursor, limit)

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """End a job at once.

        Raises:
            TidegateError: NOT_FOUND, JOB_ENDED if it ended another way, or JOBS_UNAVAILABLE.
        """
        return await self._store.cancel(tenant, job_id)

    async def result(self, job: Job) -> Raw | None:
        """JSON of a completed job's result or of a failed one's error; None if it has neither.

        Raises:
            TidegateError: JOBS_UNAVAILABLE or UPLOADS_UNAVAILABLE; INTERNAL if it was encrypted
                with another data key.
        """
        if job.state not in {State.COMPLETED, State.FAILED}:
            return None
        kept = await self._store.result(job.id)
        if kept is None:
            return None
        sealed = kept.sealed
        if kept.object_key:
            sealed = (await self._large.get(kept.object_key)).decode()
        try:
            return Raw(self._sealer.unseal(sealed, layout.result_place(job.id)))
        except Unsealable:
            message = "The result was encrypted with another data key"
            raise TidegateError(message) from None


def _begun(submission: Submission) -> Job:
    """A job as it is just after it was kept, by this process's clock."""
    now = Jobs.now_ms()
    expires = now + submission.cancel_after_ms if submission.cancel_after_ms else 0
    return Job(
        id=submission.id,
        tenant=submission.tenant,
        client=submission.client,
        model=submission.model,
        version=submission.version,
        task=submission.task,
        state=State.PENDING,
        progress=0,
        attempts=0,
        revision=1,
        units=submission.units,
        refunded=0,
        created_ms=now,
        start_at_ms=submission.start_at_ms,
        started_ms=0,
        ended_ms=0,
        expires_ms=expires,
        kept_until_ms=0,
    )
