"""Reports of rollouts, ended or running, and of their shadows; the end of one taken back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.admin.answers import answer, expected_revision, page_limit
from control_plane.admin.guards import actor_of
from control_plane.admin.operation import LIMIT, PAGED, Query, operation
from control_plane.admin.rollout_schemas import (
    DifferenceList,
    EndedPage,
    RolloutReport,
    ended_view,
    running_view,
)
from control_plane.admin.services import AdminServices
from control_plane.errors import AdmissionUnavailable, InvalidParameter, TidegateError
from control_plane.records.transaction import not_found
from control_plane.routing.shadow.report import ShadowReport
from control_plane.routing.state import ModelState, Rollout

_READ: Final = "rollouts:read"
_WRITE: Final = "rollouts:write"
_MODEL: Final = Query("model", "Whose; needed", {"type": "string", "maxLength": 63})


@get("/rollouts", opt=operation(_READ, answer=EndedPage, query=(_MODEL, *PAGED)))
async def list_rollouts(
    state: State,
    model: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> EndedPage:
    """List a model's rollouts that have ended, in the order in which they were started."""
    services: AdminServices = state.services
    if model is None:
        raise InvalidParameter("model", "is missing: name the model whose rollouts are meant")
    page = await services.models.rollouts(model, cursor, page_limit(limit))
    return EndedPage([ended_view(ended) for ended in page.items], page.next)


@get("/rollouts/{rollout:str}", opt=operation(_READ, answer=RolloutReport))
async def get_report(state: State, rollout: FromPath[str]) -> Response[RolloutReport]:
    """Show how a rollout ended and why, with the numbers; or that it runs."""
    return await report_of(state.services, rollout)


@post(
    "/rollouts/{rollout:str}/undo",
    status_code=200,
    opt=operation(_WRITE, answer=RolloutReport, is_conditional=True),
)
async def undo_rollout(
    state: State, request: Request[Any, Any, Any], rollout: FromPath[str]
) -> Response[RolloutReport]:
    """Take up a rollout that was rolled back at the same step, or take back a promotion."""
    services: AdminServices = state.services
    await services.models.undo(rollout, actor_of(request), expected_revision(request))
    return await report_of(services, rollout)


@get("/rollouts/{rollout:str}/shadow/{version:str}", opt=operation(_READ, answer=ShadowReport))
async def get_shadow(state: State, rollout: FromPath[str], version: FromPath[str]) -> ShadowReport:
    """Show what the shadow of a candidate and the answers had in common."""
    services: AdminServices = state.services
    shown = await _candidate_of(services, rollout, version)
    return await services.insights.shadow(shown.id, version)


@get(
    "/rollouts/{rollout:str}/shadow/{version:str}/differences",
    opt=operation(_READ, answer=DifferenceList, query=(LIMIT,)),
)
async def list_differences(
    state: State,
    rollout: FromPath[str],
    version: FromPath[str],
    limit: FromQuery[str | None] = None,
) -> DifferenceList:
    """List the worst disagreements of a shadow with the answers; 200 are kept."""
    services: AdminServices = state.services
    shown = await _candidate_of(services, rollout, version)
    wanted = page_limit(limit)
    return DifferenceList(await services.insights.differences(shown.id, version, wanted))


async def report_of(services: AdminServices, rollout: str) -> Response[RolloutReport]:
    """The report of a rollout, with its shadows unless the server that knows them is away."""
    running = _find_running(services, rollout)
    try:
        ended = await services.models.rollout(rollout)
    except TidegateError as error:
        if error.code != "NOT_FOUND" or running is None:
            raise
        model, shown = running
        view = running_view(shown, model.name, model.revision)
    else:
        shown, view = ended.rollout, ended_view(ended)
    shadows = None
    with suppress(AdmissionUnavailable):
        shadows = await services.insights.shadows(shown)
    return answer(msgspec.structs.replace(view, shadows=shadows), view.revision)


async def _candidate_of(services: AdminServices, rollout: str, version: str) -> Rollout:
    """A rollout, running or ended, that has a candidate; or ``NOT_FOUND``."""
    running = _find_running(services, rollout)
    found = running[1] if running else (await services.models.rollout(rollout)).rollout
    if all(candidate.version != version for candidate in found.candidates):
        raise not_found()
    return found


def _find_running(services: AdminServices, rollout: str) -> tuple[ModelState, Rollout] | None:
    for state in services.versions.states.values():
        if state.rollout is not None and state.rollout.id == rollout:
            return state, state.rollout
    return None


HANDLERS: Final = (list_rollouts, get_report, undo_rollout, get_shadow, list_differences)
