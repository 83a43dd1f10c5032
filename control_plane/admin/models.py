"""Models: the lives of their versions, what Tritons make of them, and their names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final

from litestar import Request, Response, delete, get, post, put
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter

from control_plane.admin.answers import answer, expected_revision, page_limit
from control_plane.admin.bodies import read_body
from control_plane.admin.guards import actor_of
from control_plane.admin.model_schemas import (
    AliasBody,
    DeprecateBody,
    ModelPage,
    ModelView,
    PromoteBody,
    RefreshView,
    model_view,
    refresh_view,
)
from control_plane.admin.operation import PAGED, Query, operation
from control_plane.admin.services import AdminServices
from control_plane.contracts.compatibility.changes import Comparison
from control_plane.errors import AdmissionUnavailable, InvalidParameter
from control_plane.routing.decisions import lives
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.state import ModelState

_READ: Final = "models:read"
_WRITE: Final = "models:write"
_CHANGE: Final = operation(_WRITE, answer=ModelView, is_conditional=True)
_VERSION: Final = {"type": "string", "maxLength": 32, "examples": ["v1.0.0"]}
_FROM_TO: Final = (
    Query("from", "The version that clients use", _VERSION),
    Query("to", "The version that is to take its place", _VERSION),
)
_From = Annotated[str | None, QueryParameter(name="from")]


@get("/models", opt=operation(_READ, answer=ModelPage, query=PAGED))
async def list_models(
    state: State, cursor: FromQuery[str | None] = None, limit: FromQuery[str | None] = None
) -> ModelPage:
    """List the models."""
    services: AdminServices = state.services
    page = await services.models.models(cursor, page_limit(limit))
    return ModelPage([_view(services, model) for model in page.items], page.next)


@post("/repository/refresh", status_code=200, opt=operation(_WRITE, answer=RefreshView))
async def refresh_models(state: State, request: Request[Any, Any, Any]) -> RefreshView:
    """Read the model repository again, in every process."""
    services: AdminServices = state.services
    found = await services.versions.refresh(actor_of(request))
    return refresh_view(services.versions.shelf, found)


@get("/models/{model:str}", opt=operation(_READ, answer=ModelView))
async def get_model(state: State, model: FromPath[str]) -> Response[ModelView]:
    """Show a model: where its versions stand, on every Triton, too."""
    services: AdminServices = state.services
    found = await services.models.model(model)
    return await _shown(services, found)


@get("/models/{model:str}/diff", opt=operation(_READ, answer=Comparison, query=_FROM_TO))
async def diff_versions(
    state: State, model: FromPath[str], before: _From = None, to: FromQuery[str | None] = None
) -> Comparison:
    """Explain what breaks for clients of one version if another takes its place."""
    services: AdminServices = state.services
    await services.models.model(model)
    for name, version in (("from", before), ("to", to)):
        if version is None:
            raise InvalidParameter(name, "is missing: name a version, such as v1.0.0")
    return services.versions.compare(model, before or "", to or "")


@post(
    "/models/{model:str}/versions/{version:str}/promote",
    status_code=200,
    opt=operation(_WRITE, answer=ModelView, body=PromoteBody, is_conditional=True),
)
async def promote_version(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[str]
) -> Response[ModelView]:
    """Make a version the stable one; it has to be ready, and to break nothing."""
    services: AdminServices = state.services
    body = await read_body(request, PromoteBody)
    await services.versions.examine(model, {version})

    def decide(before: ModelState) -> Decided:
        allow = body.allow_breaking
        gate = services.versions.gate(before, version, allow_breaking=allow)
        return lives.promote(before, version, services.models.now(), gate)

    return await _changed(services, request, model, decide)


@post(
    "/models/{model:str}/versions/{version:str}/deprecate",
    status_code=200,
    opt=operation(_WRITE, answer=ModelView, body=DeprecateBody, is_conditional=True),
)
async def deprecate_version(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[str]
) -> Response[ModelView]:
    """Announce the end of a version; of one that is deprecated, move it."""
    services: AdminServices = state.services
    body = await read_body(request, DeprecateBody)

    def decide(before: ModelState) -> Decided:
        now = services.models.now()
        return lives.deprecate(before, version, now, body.sunset_at, body.info)

    return await _changed(services, request, model, decide)


@post("/models/{model:str}/versions/{version:str}/retire", status_code=200, opt=_CHANGE)
async def retire_version(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[str]
) -> Response[ModelView]:
    """End a version: it answers 410, and Triton unloads it."""
    services: AdminServices = state.services

    def decide(before: ModelState) -> Decided:
        return lives.retire(before, version, services.models.now())

    return await _changed(services, request, model, decide)


@post("/models/{model:str}/versions/{version:str}/revive", status_code=200, opt=_CHANGE)
async def revive_version(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[str]
) -> Response[ModelView]:
    """Take a retired version back, as experimental."""
    services: AdminServices = state.services

    def decide(before: ModelState) -> Decided:
        return lives.revive(before, version, services.models.now())

    return await _changed(services, request, model, decide)


@post("/models/{model:str}/versions/{version:str}/load", status_code=200, opt=_CHANGE)
async def load_version(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[str]
) -> Response[ModelView]:
    """Let every Triton load a version; what failed is tried again at once."""
    services: AdminServices = state.services
    decide = partial(lives.set_loaded, version=version, loaded=True)
    changed = await _changed(services, request, model, decide)
    services.versions.try_again(model, version)
    return changed


@post("/models/{model:str}/versions/{version:str}/unload", status_code=200, opt=_CHANGE)
async def unload_version(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], version: FromPath[str]
) -> Response[ModelView]:
    """Let every Triton unload a version, once nobody waits for it any more."""
    decide = partial(lives.set_loaded, version=version, loaded=False)
    return await _changed(state.services, request, model, decide)


@put(
    "/models/{model:str}/aliases/{alias:str}",
    opt=operation(_WRITE, answer=ModelView, body=AliasBody, is_conditional=True),
)
async def put_alias(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], alias: FromPath[str]
) -> Response[ModelView]:
    """Let an alias stand for a version."""
    body = await read_body(request, AliasBody)
    decide = partial(lives.put_alias, alias=alias, version=body.version)
    return await _changed(state.services, request, model, decide)


@delete("/models/{model:str}/aliases/{alias:str}", status_code=200, opt=_CHANGE)
async def delete_alias(
    state: State, request: Request[Any, Any, Any], model: FromPath[str], alias: FromPath[str]
) -> Response[ModelView]:
    """Take an alias away."""
    decide = partial(lives.delete_alias, alias=alias)
    return await _changed(state.services, request, model, decide)


async def _changed(
    services: AdminServices,
    request: Request[Any, Any, Any],
    model: str,
    decide: Callable[[ModelState], Decided],
) -> Response[ModelView]:
    expected = expected_revision(request)
    after = await services.models.change(model, decide, actor_of(request), expected)
    return await _shown(services, after)


async def _shown(services: AdminServices, model: ModelState) -> Response[ModelView]:
    """A model with the accuracy of its versions, unless the server that knows it is away."""
    view = _view(services, model)
    with suppress(AdmissionUnavailable):
        accuracy = await services.accuracies.of(model.name, list(model.versions))
        view = _view(services, model, accuracy)
    return answer(view, model.revision)


def _view(services: AdminServices, model: ModelState, accuracy: Any = None) -> ModelView:
    contracts = services.versions.shelf.of_model(model.name)
    return model_view(model, contracts, services.versions.servers(model.name), accuracy)


HANDLERS: Final = (
    list_models,
    refresh_models,
    get_model,
    diff_versions,
    promote_version,
    deprecate_version,
    retire_version,
    revive_version,
    load_version,
    unload_version,
    put_alias,
    delete_alias,
)
