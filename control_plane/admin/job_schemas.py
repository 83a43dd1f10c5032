"""Shapes of jobs in the operators' API: never what they are made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from control_plane.admin.schemas import Moment, NextCursor
from control_plane.jobs.shapes import Job, State, Task

Percent = Annotated[int, Meta(ge=0, le=100, description="Progress, percent")]
Count = Annotated[int, Meta(ge=0)]


class JobView(Struct, frozen=True, kw_only=True):
    """A job; times are epoch seconds, null for never."""

    id: str
    tenant: str
    client: str
    model: str
    version: str
    task: Task
    state: State
    progress: Percent
    attempts: Annotated[int, Meta(ge=0, description="How often a worker took it")]
    units: Count
    refunded_units: Count
    created_at: Moment
    start_at: Moment | None
    started_at: Moment | None
    ended_at: Moment | None
    expires_at: Moment | None
    kept_until: Moment | None
    error_code: Annotated[str, Meta(description="Of a failed job; empty for others")]


class JobPage(Struct, frozen=True):
    """Jobs, the latest submission first."""

    items: list[JobView]
    next_cursor: NextCursor


class ReplayView(Struct, frozen=True):
    """A further job that does again what one that failed was to do."""

    replay_of: Annotated[str, Meta(description="Id of the one that failed")]
    job: JobView


def job_view(job: Job) -> JobView:
    """A job as operators see it."""
    return JobView(
        id=job.id,
        tenant=job.tenant,
        client=job.client,
        model=job.model,
        version=job.version,
        task=job.task,
        state=job.state,
        progress=job.progress,
        attempts=job.attempts,
        units=job.units,
        refunded_units=job.refunded,
        created_at=job.created_ms // 1000,
        start_at=_moment(job.start_at_ms),
        started_at=_moment(job.started_ms),
        ended_at=_moment(job.ended_ms),
        expires_at=_moment(job.expires_ms),
        kept_until=_moment(job.kept_until_ms),
        error_code=job.error_code,
    )


def _moment(milliseconds: int) -> int | None:
    return milliseconds // 1000 or None
