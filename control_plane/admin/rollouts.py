"""The rollout that runs: started, watched, steered and ended by operators."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from litestar import Request, Response, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath

from control_plane.admin.answers import answer, expected_revision
from control_plane.admin.bodies import read_body, read_json
from control_plane.admin.guards import actor_of
from control_plane.admin.operation import operation
from control_plane.admin.rollout_reports import report_of
from control_plane.admin.rollout_schemas import (
    AbortBody,
    PromoteCandidateBody,
    RolloutBody,
    RolloutReport,
    RolloutStatus,
    RolloutView,
    WeightsBody,
    rollout_view,
)
from control_plane.admin.services import AdminServices
from control_plane.errors import AdmissionUnavailable, TidegateError
from control_plane.routing.decisions import endings, rollouts
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.identifiers import rollout_id
from control_plane.routing.state import Candidate, ModelState, Rollout
from control_plane.web.body import merged, shaped

_READ: Final = "rollouts:read"
_WRITE: Final = "rollouts:write"
Decide = Callable[[ModelState], Decided]


@post(
    "/models/{model:str}/rollout",
    opt=operation(_WRITE, answer=RolloutView, body=RolloutBody, is_conditional=True),
)
async def start_rollout(
    state: State, request: Request[Any, Any, Any], model: FromPath[str]
) -> Response[RolloutView]:
    """Start a rollout; candidates that get subjects have to be ready, and to break nothing."""
    services: AdminServices = state.services
    body = await read_body(request, RolloutBody)
    by, allow = actor_of(request), body.allow_breaking
    versions = {candidate.version for candidate in body.candidates}
    await services.versions.examine(model, versions)

    def decide(before: ModelState) -> Decided:
        services.versions.check_names(before, body)
        return rollouts.start(
            before,
            body,
            rollout=rollout_id(time.time()),
            now=services.models.now(),
            by=by.who,
            gates={v: services.versions.gate(before, v, allow_breaking=allow) for v in versions},
        )

    return await _steered(services, request, model, decide, 201)


@get("/models/{model:str}/rollout", opt=operation(_READ, answer=RolloutStatus))
async def get_rollout(state: State, model: FromPath[str]) -> Response[RolloutStatus]:
    """Show the running rollout, what was counted of it, and what the judge says."""
    services: AdminServices = state.services
    found = await services.models.model(model)
    rollout = _rollout_of(found)
    counted = None
    with suppress(AdmissionUnavailable):
        counted = await services.insights.of(rollout)
    view = rollout_view(rollout, found.name, found.revision)
    return answer(RolloutStatus(rollout=view, counted=counted), found.revision)


@patch(
    "/models/{model:str}/rollout",
    opt=operation(_WRITE, answer=RolloutView, body=WeightsBody, is_patch=True, is_conditional=True),
)
async def patch_rollout(
    state: State, request: Request[Any, Any, Any], model: FromPath[str]
) -> Response[RolloutView]:
    """Change weights of a rollout without a plan; null is 0."""
    services: AdminServices = state.services
    changes = await read_json(request)

    def decide(before: ModelState) -> Decided:
        current = {candidate.version: candidate.weight for candidate in _candidates(before)}
        body = shaped(merged({"weights": current}, changes), WeightsBody)
        weights = {**dict.fromkeys(current, 0.0), **body.weights}
        allow = body.allow_breaking
        gates = {v: services.versions.gate(before, v, allow_breaking=allow) for v in weights}
        return rollouts.set_weights(before, weights, services.models.now(), gates)

    return await _steered(services, request, model, decide)


@post(
    "/models/{model:str}/rollout/pause",
    status_code=200,
    opt=operation(_WRITE, answer=RolloutView, is_conditional=True),
)
async def pause_rollout(
    state: State, request: Request[Any, Any, Any], model: FromPath[str]
) -> Response[RolloutView]:
    """Hold the rollout at its step; a roll-back is still made."""
    services: AdminServices = state.services

    def decide(before: ModelState) -> Decided:
        return rollouts.pause(before, services.models.now())

    return await _steered(services, request, model, decide)


@post(
    "/models/{model:str}/rollout/resume",
    status_code=200,
    opt=operation(_WRITE, answer=RolloutView, is_conditional=True),
)
async def resume_rollout(
    state: State, request: Request[Any, Any, Any], model: FromPath[str]
) -> Response[RolloutView]:
    """Let the rollout go on; the pause does not count as time at the step."""
    services: AdminServices = state.services

    def decide(before: ModelState) -> Decided:
        return rollouts.resume(before, services.models.now())

    return await _steered(services, request, model, decide)


@post(
    "/models/{model:str}/rollout/promote",
    status_code=200,
    opt=operation(_WRITE, answer=RolloutReport, body=PromoteCandidateBody, is_conditional=True),
)
async def promote_rollout(
    state: State, request: Request[Any, Any, Any], model: FromPath[str]
) -> Response[RolloutReport]:
    """Make a candidate the stable version now, at whatever step the rollout is."""
    services: AdminServices = state.services
    body = await read_body(request, PromoteCandidateBody)
    by = actor_of(request)

    found = await services.models.model(model)
    versions = {each.version for each in _candidates(found)}
    await services.versions.examine(model, versions)

    def decide(before: ModelState) -> Decided:
        now = services.models.now()
        gates = {
            each.version: services.versions.gate(before, each.version, allow_breaking=True)
            for each in _candidates(before)
        }
        return endings.promote(before, now, by.who, body.version, body.reason, gates=gates)

    return await _ended(services, request, model, decide)


@post(
    "/models/{model:str}/rollout/abort",
    status_code=200,
    opt=operation(_WRITE, answer=RolloutReport, body=AbortBody, is_conditional=True),
)
async def abort_rollout(
    state: State, request: Request[Any, Any, Any], model: FromPath[str]
) -> Response[RolloutReport]:
    """End the rollout: everybody gets the stable version."""
    services: AdminServices = state.services
    body = await read_body(request, AbortBody)
    by = actor_of(request)

    def decide(before: ModelState) -> Decided:
        return endings.abort(before, by.who, body.reason)

    return await _ended(services, request, model, decide)


async def _ended(
    services: AdminServices, request: Request[Any, Any, Any], model: str, decide: Decide
) -> Response[RolloutReport]:
    """The report of the rollout that a decision ends."""
    ids: list[str] = []

    def noted(before: ModelState) -> Decided:
        decided = decide(before)
        ids[:] = [] if decided.ended is None else [decided.ended.id]
        return decided

    await services.models.change(model, noted, actor_of(request), expected_revision(request))
    return await report_of(services, ids[0])


async def _steered(
    services: AdminServices,
    request: Request[Any, Any, Any],
    model: str,
    decide: Decide,
    status: int = 200,
) -> Response[RolloutView]:
    """The rollout after a decision that does not end it."""
    expected = expected_revision(request)
    after = await services.models.change(model, decide, actor_of(request), expected)
    view = rollout_view(_rollout_of(after), after.name, after.revision)
    location = f"/models/{after.name}/rollout" if status == 201 else None
    return answer(view, after.revision, status, location)


def _candidates(state: ModelState) -> tuple[Candidate, ...]:
    return () if state.rollout is None else state.rollout.candidates


def _rollout_of(state: ModelState) -> Rollout:
    if state.rollout is None:
        raise TidegateError(f"{state.name} has no running rollout", code="NOT_FOUND")
    return state.rollout


HANDLERS: Final = (
    start_rollout,
    get_rollout,
    patch_rollout,
    pause_rollout,
    resume_rollout,
    promote_rollout,
    abort_rollout,
)
