"""Jobs as clients see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from control_plane.jobs.shapes import JOB_ID, Job, State, Task

Moment = Annotated[
    str, Meta(description="RFC 3339, UTC", extra_json_schema={"format": "date-time"})
]
_CODE = "Code of the error of a failed job; the job itself has the whole of it"


class Links(Struct, frozen=True, omit_defaults=True, rename={"self_": "self"}):
    """Where more is.

    Attributes:
        self_: The job.
        events: Its progress as it goes; of a job that has not ended.
        cancel: Ends it; likewise.
    """

    self_: str
    events: str | UnsetType = UNSET
    cancel: str | UnsetType = UNSET


class JobView(Struct, frozen=True, kw_only=True):
    """A job, without what came out of it."""

    job_id: Annotated[str, Meta(pattern=JOB_ID, description="Ids sort by submission")]
    status: State
    progress: Annotated[int, Meta(ge=0, le=100, description="Percent of the work that is done")]
    task: Task
    model: str
    model_version: Annotated[str, Meta(description="Pinned at submission")]
    attempts: Annotated[int, Meta(ge=0, description="How often a worker took it")]
    units: Annotated[int, Meta(ge=0, description="What was paid at submission")]
    refunded_units: Annotated[int, Meta(ge=0, description="Of these, what was given back")]
    created_at: Moment
    start_at: Moment | UnsetType = UNSET
    started_at: Moment | None
    ended_at: Moment | None
    expires_at: Annotated[Moment | None, Meta(description="By Cancel-After, if it has not ended")]
    kept_until: Annotated[
        Moment | None, Meta(description="When it is forgotten, once it has ended")
    ]
    error_code: Annotated[str | UnsetType, Meta(description=_CODE)] = UNSET
    links: Links


class JobDetail(JobView, frozen=True, kw_only=True):
    """A job with what came out of it: a result, or the error that ended it."""

    result: Annotated[Any, Meta(description="Of a completed job: as the model's answer")] = UNSET
    error: Annotated[Any, Meta(description="Of a failed job: `error` of the envelope")] = UNSET


class JobList(Struct, frozen=True):
    """Jobs of the tenant's, newest first."""

    items: list[JobView]
    next_cursor: Annotated[str | None, Meta(description="Parameter `cursor` of the next page")]


class _Envelope(Struct, frozen=True):
    error: Raw


def path_of(job_id: str) -> str:
    """Where a job is read."""
    return f"/api/v1/jobs/{job_id}"


def view(job: Job) -> JobView:
    """A job, for lists, submissions and events."""
    return JobView(**_facts(job))


def detail(job: Job, came_out: Raw | None) -> JobDetail:
    """A job with its result or error.

    Args:
        job: As it is.
        came_out: See :meth:`Jobs.result`.
    """
    facts = _facts(job)
    if came_out is not None and job.state is State.COMPLETED:
        facts["result"] = came_out
    elif came_out is not None:
        facts["error"] = msgspec.json.decode(came_out, type=_Envelope).error
    return JobDetail(**facts)


def _facts(job: Job) -> dict[str, Any]:
    path = path_of(job.id)
    links = Links(path) if job.state.is_end else Links(path, f"{path}/events", f"{path}/cancel")
    return {
        "job_id": job.id,
        "status": job.state,
        "progress": job.progress,
        "task": job.task,
        "model": job.model,
        "model_version": job.version,
        "attempts": job.attempts,
        "units": job.units,
        "refunded_units": job.refunded,
        "created_at": _moment(job.created_ms),
        "start_at": _moment(job.start_at_ms) or UNSET,
        "started_at": _moment(job.started_ms),
        "ended_at": _moment(job.ended_ms),
        "expires_at": _moment(job.expires_ms),
        "kept_until": _moment(job.kept_until_ms),
        "error_code": job.error_code or UNSET,
        "links": links,
    }


def _moment(epoch_ms: int) -> str | None:
    if not epoch_ms:
        return None
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
