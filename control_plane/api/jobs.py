"""The jobs of the caller's tenant: read, listed, canceled, followed."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp
from msgspec import Meta

from control_plane.admission.principal import Principal
from control_plane.api.job_events import Events, Listener, read_last_id
from control_plane.api.job_views import JobDetail, JobList, detail, view
from control_plane.api.submit import RETRY_S
from control_plane.api.visit import has_jobs, member_of
from control_plane.errors import Forbidden, InvalidParameter
from control_plane.jobs import shapes
from control_plane.jobs.queries import not_found
from control_plane.jobs.replies import JobQuery
from control_plane.jobs.shapes import Job
from control_plane.records.pages import MAX_LIMIT
from control_plane.services import Services
from control_plane.types import MODEL_NAME

DEFAULT_LIMIT: Final = 50
_DIGITS: Final = re.compile(r"[0-9]{1,4}")
_Moment = Annotated[datetime, Meta(tz=True)]

_Request = Request[Any, Any, Any]


@get("/api/v1/jobs")
async def list_jobs(
    request: _Request,
    state: State,
    status: FromQuery[str | None] = None,
    model: FromQuery[str | None] = None,
    created_after: FromQuery[str | None] = None,
    created_before: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> JobList:
    """Jobs of the caller's tenant, newest first; of a key for some models only theirs."""
    principal = _owner(request)
    if model is not None and not MODEL_NAME.fullmatch(model):
        raise InvalidParameter("model", "is no name of a model", model)
    query = JobQuery(
        state=_status(status),
        model=model,
        after_ms=_moment("created_after", created_after),
        before_ms=_moment("created_before", created_before),
    )
    services: Services = state.services
    page = await services.jobs.page(principal.tenant, query, cursor, _limit(limit))
    seen = [view(job) for job in page.items if principal.may("jobs", job.model)]
    return JobList(seen, page.next)


@get("/api/v1/jobs/{job_id:str}")
async def get_job(request: _Request, state: State, job_id: FromPath[str]) -> Response[JobDetail]:
    """One job, with its result or error once it has ended."""
    services: Services = state.services
    job = await _read(services, _owner(request), job_id)
    return await _shown(services, job)


@post("/api/v1/jobs/{job_id:str}/cancel", status_code=200)
async def cancel_job(request: _Request, state: State, job_id: FromPath[str]) -> Response[JobDetail]:
    """End a job at once."""
    services: Services = state.services
    principal = _owner(request)
    await _read(services, principal, job_id)
    job = await services.jobs.cancel(principal.tenant, job_id)
    return await _shown(services, job)


@get("/api/v1/jobs/{job_id:str}/events")
async def follow_job(request: _Request, state: State, job_id: FromPath[str]) -> ASGIApp:
    """A job's states and progress as they come: server-sent events."""
    services: Services = state.services
    principal = _owner(request)
    last_id = read_last_id(request.headers.get("last-event-id"))
    job = await _read(services, principal, job_id)
    if last_id > job.revision:
        raise InvalidParameter("Last-Event-ID", "is of no event of this job", str(last_id))
    listener = Listener(principal, request.scope, request.scope["state"]["permit"])
    return Events(services, listener, job, last_id, state.draining)


def _owner(request: _Request) -> Principal:
    """Who asks, if it may have jobs of any model.

    Raises:
        Unauthenticated: If it is nobody's.
        Forbidden: Without such a scope.
    """
    principal = member_of(request, "Jobs")
    if not has_jobs(principal):
        message = "The credentials lack the scope jobs"
        raise Forbidden(message, details={"scope": "jobs"})
    return principal


async def _read(services: Services, principal: Principal, job_id: FromPath[str]) -> Job:
    """A job that the caller may see; any other is not there."""
    job = await services.jobs.read(principal.tenant, job_id)
    if not principal.may("jobs", job.model):
        raise not_found()
    return job


async def _shown(services: Services, job: Job) -> Response[JobDetail]:
    shown = detail(job, await services.jobs.result(job))
    return Response(shown, headers={} if job.state.is_end else {"retry-after": str(RETRY_S)})


def _status(text: str | None) -> shapes.State | None:
    if text is None:
        return None
    try:
        return shapes.State(text)
    except ValueError:
        issue = f"must be one of {', '.join(shapes.State)}"
        raise InvalidParameter("status", issue, text) from None


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, _Moment)
    except msgspec.ValidationError:
        issue = "must be a moment with its offset (RFC 3339), such as 2026-11-23T10:30:00Z"
        raise InvalidParameter(name, issue, text) from None
    return round(moment.timestamp() * 1000)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be a whole number from 1 to {MAX_LIMIT}", text)
    return int(text)
