"""Jobs to be submitted, for tests of the store."""

from __future__ import annotations

import itertools
import time
from typing import Any

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id
from control_plane.jobs.replies import Submitted
from control_plane.jobs.shapes import Claim, End, Hold, Priority, Size, State, Submission, Task
from control_plane.jobs.store import JobStore
from control_plane.sealing import Sealer

_NUMBERS = itertools.count()


def asked(tenant: str = "acme", **facts: Any) -> Submission:
    """A submission, later by its id than those before it."""
    begun = time.time() - 3600 + next(_NUMBERS) / 1000
    defaults: dict[str, Any] = {
        "id": job_id(begun), "client": "k:aaaaaaaaaaaa", "model": "wine", "version": "v1.0.0",
        "task": Task.PREDICT, "size": Size.SHORT, "priority": Priority.NORMAL, "units": 10,
        "spec": "sealed",
    }  # fmt: skip
    return Submission(tenant=tenant, **{**defaults, **facts})


async def kept(store: JobStore, *submissions: Submission) -> list[str]:
    """Ids of jobs that were taken in."""
    replies = await store.submit(submissions)
    assert all(isinstance(reply, Submitted) for reply in replies), replies
    return [submission.id for submission in submissions]


def hold(claim: Claim) -> Hold:
    """What a worker names of a claim."""
    return Hold(claim.job.id, claim.fence)


def done(claim: Claim, **facts: Any) -> End:
    """A completed job."""
    return End(hold=hold(claim), state=State.COMPLETED, result="sealed", **facts)


def failed(claim: Claim, code: str = "MODEL_FAILED") -> End:
    """A failed job."""
    return End(hold=hold(claim), state=State.FAILED, result="sealed", error_code=code)


async def take(store: JobStore, count: int = 1, size: Size = Size.SHORT) -> list[Claim]:
    """Jobs in a worker's hands."""
    return await store.claim("worker-1", size, count)


async def code_of(awaitable: Any) -> str:
    """The code that an awaitable is refused with."""
    try:
        await awaitable
    except TidegateError as error:
        return error.code
    raise AssertionError("it was not refused")


async def dead_letter(store: JobStore, sealer: Sealer, hook: str = "") -> str:
    """A job that failed at its last attempt, in a store where jobs are tried once."""
    submission = asked()
    places = (layout.spec_place(submission.id), layout.hook_place(submission.id))
    spec = sealer.seal(b'{"inputs": 1}', places[0])
    sealed = sealer.seal(hook.encode(), places[1]) if hook else ""
    facts: dict[str, Any] = {"id": submission.id, "spec": spec, "hook": sealed}
    await kept(store, asked(**facts))
    [claim] = await taken(store, submission.id)
    assert await store.retry(hold(claim), failed(claim), 0)
    return submission.id


async def taken(store: JobStore, name: str) -> list[Claim]:
    """The claim of a job, whoever else waits."""
    return [claim for claim in await take(store, 200) if claim.job.id == name]
