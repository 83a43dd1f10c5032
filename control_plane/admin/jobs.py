"""Jobs of any tenant: looked at, canceled, and tried again where they had failed for good."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.admin.answers import BASE, page_limit
from control_plane.admin.guards import actor_of
from control_plane.admin.job_schemas import JobPage, JobView, ReplayView, job_view
from control_plane.admin.operation import PAGED, operation
from control_plane.jobs.operators import OperatorJobs

_READ: Final = "jobs:read"
_WRITE: Final = "jobs:write"


@get("/jobs/dead", opt=operation(_READ, answer=JobPage, query=PAGED))
async def list_dead_jobs(
    state: State, cursor: FromQuery[str | None] = None, limit: FromQuery[str | None] = None
) -> JobPage:
    """List dead letters: jobs that failed at their last attempt and were not tried again."""
    page = await _jobs(state).dead(cursor, page_limit(limit))
    return JobPage([job_view(job) for job in page.items], page.next)


@get("/jobs/{job:str}", opt=operation(_READ, answer=JobView))
async def get_job(state: State, job: FromPath[str]) -> JobView:
    """Show a job of any tenant."""
    return job_view(await _jobs(state).find(job))


@post("/jobs/{job:str}/cancel", status_code=200, opt=operation(_WRITE, answer=JobView))
async def cancel_job(state: State, request: Request[Any, Any, Any], job: FromPath[str]) -> JobView:
    """End a job at once, whoever works on it; one that was canceled stays so."""
    return job_view(await _jobs(state).cancel(job, actor_of(request)))


@post("/jobs/{job:str}/replay", opt=operation(_WRITE, answer=ReplayView))
async def replay_job(
    state: State, request: Request[Any, Any, Any], job: FromPath[str]
) -> Response[ReplayView]:
    """Try a failed job again as a further one that costs nothing; within a day only once."""
    further = await _jobs(state).replay(job, actor_of(request))
    location = f"{BASE}/jobs/{further.id}"
    return Response(
        ReplayView(job, job_view(further)), status_code=201, headers={"location": location}
    )


def _jobs(state: State) -> OperatorJobs:
    jobs: OperatorJobs = state.services.jobs
    return jobs


HANDLERS: Final = (list_dead_jobs, get_job, cancel_job, replay_job)
