"""What operators do with jobs of any tenant: look, cancel, and have dead letters tried again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id as minted
from control_plane.jobs.queries import Fields
from control_plane.jobs.shapes import Job, Priority, Size, State, Submission, Task
from control_plane.jobs.store import JobStore
from control_plane.records.pages import Page
from control_plane.records.transaction import Actor, Entry
from control_plane.sealing import Sealer, Unsealable

Record = Callable[[Entry, Actor], Awaitable[None]]
"""Writes an entry to the audit log."""


class Told(Struct, frozen=True):
    """What the audit log says of a job.

    Attributes:
        tenant: Whose.
        model: Public name.
        state: Where it stands.
        replay_of: The dead letter that it repeats; empty for others.
    """

    tenant: str
    model: str
    state: str
    replay_of: str = ""


class OperatorJobs:
    """Jobs as operators see them, without what they are made of.

    A step is written to the audit log before it is made: an entry may stand for a step that then
    failed, but no step is without one. Every method raises JOBS_UNAVAILABLE if the server of jobs
    does not answer, and those that name a job NOT_FOUND.
    """

    def __init__(
        self,
        store: JobStore,
        sealer: Sealer,
        record: Record,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Work on a store.

        Args:
            store: Keeps the jobs.
            sealer: Of their payloads, which are bound to the id of their job.
            record: Writes audit entries.
            clock: Epoch seconds.
        """
        self._store = store
        self._sealer = sealer
        self._record = record
        self._clock = clock

    async def find(self, job_id: str) -> Job:
        """A job."""
        return await self._store.find(job_id)

    async def dead(self, after: str | None, limit: int) -> Page[Job]:
        """Dead letters that nobody had tried again, the latest submission first.

        Args:
            after: Cursor of the page; None for the first.
            limit: Items at most.
        """
        return await self._store.dead(after, limit)

    async def cancel(self, job_id: str, by: Actor) -> Job:
        """End a job at once.

        Args:
            job_id: Which.
            by: On whose behalf.

        Raises:
            TidegateError: JOB_ENDED if it has ended in another way.
        """
        before = await self._store.find(job_id)
        if not before.state.is_end:
            after = Told(before.tenant, before.model, State.CANCELED)
            await self._record(Entry("job.cancel", f"job:{job_id}", _told(before), after), by)
        return await self._store.cancel("", job_id)

    async def replay(self, job_id: str, by: Actor) -> Job:
        """Have a failed job tried again, as a further job that costs nothing.

        The failed one stays as it is, for states never go back, and is no dead letter any more.
        Asked for again within a day, the further job is the same.

        Args:
            job_id: Of the failed one.
            by: On whose behalf.

        Raises:
            TidegateError: REVISION_CONFLICT if it has not failed, TOO_MANY_JOBS, INTERNAL if it was
                encrypted with another data key.
        """
        fields = await self._store.fields(job_id)
        if fields["state"] != State.FAILED:
            raise TidegateError(
                f"The job is {fields['state']}: only one that failed can be tried again",
                code="REVISION_CONFLICT",
                details={"status": fields["state"]},
            )
        [found] = await self._store.with_hooks([job_id])
        hook = None if found is None else found[1]
        again = self._further(job_id, fields, await self._store.spec(job_id), hook)
        told = Told(again.tenant, again.model, State.PENDING, job_id)
        await self._record(Entry("job.replay", f"job:{again.id}", None, told), by)
        reply = (await self._store.submit([again]))[0]
        if isinstance(reply, TidegateError):
            raise reply
        await self._store.bury(job_id)
        return await self._store.find(reply.id)

    def _further(self, job_id: str, fields: Fields, spec: str, hook: str | None) -> Submission:
        again = minted(self._clock())

        def moved(sealed: str, place: Callable[[str], str]) -> str:
            try:
                text = self._sealer.unseal(sealed, place(job_id))
            except Unsealable:
                message = "The job was encrypted with another data key"
                raise TidegateError(message) from None
            return self._sealer.seal(text, place(again))

        return Submission(
            id=again,
            tenant=fields["tenant"],
            client=fields["client"],
            model=fields["model"],
            version=fields["version"],
            task=Task(fields["task"]),
            size=Size(fields["size"]),
            priority=Priority(int(fields["priority"])),
            units=0,
            spec=moved(spec, layout.spec_place),
            hook=moved(hook, layout.hook_place) if hook else "",
            key=f"replay-{job_id}",
            digest="replay",
        )


def _told(job: Job) -> Told:
    return Told(job.tenant, job.model, job.state)
