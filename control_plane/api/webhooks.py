"""Webhooks of the caller's tenant: endpoints, the secrets that sign, and deliveries."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.admission.principal import Principal
from control_plane.api.visit import member_of
from control_plane.api.webhook_views import (
    DeliveryList,
    DeliveryView,
    EndpointBody,
    EndpointList,
    EndpointMade,
    EndpointView,
    RotateSecretBody,
    SecretView,
    delivery_view,
    endpoint_view,
    secret_view,
)
from control_plane.errors import Forbidden, InvalidParameter
from control_plane.records.pages import MAX_LIMIT
from control_plane.records.transaction import Actor
from control_plane.services import Services
from control_plane.web import body
from control_plane.webhooks.deliveries import DeliveryFilter
from control_plane.webhooks.endpoints import Draft
from control_plane.webhooks.room import Webhooks
from control_plane.webhooks.shapes import ENDPOINT_ID, Endpoint, Status, TenantSecret

MAX_BODY_BYTES: Final = 8192
DEFAULT_LIMIT: Final = 50
_DIGITS: Final = re.compile(r"[0-9]{1,4}")

_Request = Request[Any, Any, Any]


@post("/api/v1/webhooks", request_max_body_size=MAX_BODY_BYTES)
async def make_endpoint(request: _Request, state: State) -> Response[EndpointMade]:
    """Tell a receiver of ends of jobs; the answer has its secret."""
    principal, webhooks = _visit(request, state)
    draft = body.shaped(await body.read_json(request), EndpointBody).draft()
    await webhooks.destinations.check(draft.url)
    made = await webhooks.endpoints.create(principal.tenant, draft, _actor(request, principal))
    shown = EndpointMade(endpoint=endpoint_view(made, draft), secret=_secret(webhooks, made))
    return Response(shown, headers={"location": f"/api/v1/webhooks/{made.id}"})


@get("/api/v1/webhooks")
async def list_endpoints(
    request: _Request,
    state: State,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> EndpointList:
    """Receivers of the caller's tenant, by id."""
    principal, webhooks = _visit(request, state)
    page = await webhooks.endpoints.page(principal.tenant, cursor, _limit(limit))
    return EndpointList([_view(webhooks, each) for each in page.items], page.next)


@get("/api/v1/webhooks/{endpoint:str}")
async def get_endpoint(request: _Request, state: State, endpoint: FromPath[str]) -> EndpointView:
    """One receiver."""
    principal, webhooks = _visit(request, state)
    return _view(webhooks, await webhooks.endpoints.read(principal.tenant, endpoint))


@patch("/api/v1/webhooks/{endpoint:str}", request_max_body_size=MAX_BODY_BYTES)
async def patch_endpoint(request: _Request, state: State, endpoint: FromPath[str]) -> EndpointView:
    """Change a receiver by a JSON merge patch: null sets a member back to its default."""
    principal, webhooks = _visit(request, state)
    changes = await body.read_json(request)
    before = webhooks.endpoints.draft(await webhooks.endpoints.read(principal.tenant, endpoint))
    draft = _patched(before, changes)
    if draft.url != before.url:
        await webhooks.destinations.check(draft.url)
    changed = await webhooks.endpoints.change(
        principal.tenant,
        endpoint,
        lambda found: _patched(found, changes),
        _actor(request, principal),
    )
    return _view(webhooks, changed)


@delete("/api/v1/webhooks/{endpoint:str}")
async def delete_endpoint(request: _Request, state: State, endpoint: FromPath[str]) -> None:
    """Delete a receiver; what was to be sent to it is not sent."""
    principal, webhooks = _visit(request, state)
    await webhooks.endpoints.delete(principal.tenant, endpoint, _actor(request, principal))


@get("/api/v1/webhooks/{endpoint:str}/secret")
async def get_secret(request: _Request, state: State, endpoint: FromPath[str]) -> SecretView:
    """The secret that signs for a receiver."""
    principal, webhooks = _visit(request, state)
    return _secret(webhooks, await webhooks.endpoints.read(principal.tenant, endpoint))


@post(
    "/api/v1/webhooks/{endpoint:str}/secret/rotate",
    status_code=200,
    request_max_body_size=MAX_BODY_BYTES,
)
async def rotate_secret(request: _Request, state: State, endpoint: FromPath[str]) -> SecretView:
    """Give a receiver another secret; until the overlap ends, both sign."""
    principal, webhooks = _visit(request, state)
    given = body.shaped(await body.read_json(request), RotateSecretBody)
    actor = _actor(request, principal)
    rotated = await webhooks.endpoints.rotate(principal.tenant, endpoint, given.overlap_s, actor)
    return _secret(webhooks, rotated)


@get("/api/v1/webhooks/secret")
async def get_default_secret(request: _Request, state: State) -> SecretView:
    """The secret that signs for the addresses that jobs name themselves."""
    principal, webhooks = _visit(request, state)
    return _secret(webhooks, await webhooks.endpoints.default(principal.tenant))


@post(
    "/api/v1/webhooks/secret/rotate",
    status_code=200,
    request_max_body_size=MAX_BODY_BYTES,
)
async def rotate_default_secret(request: _Request, state: State) -> SecretView:
    """Give the tenant another default secret; until the overlap ends, both sign."""
    principal, webhooks = _visit(request, state)
    given = body.shaped(await body.read_json(request), RotateSecretBody)
    actor = _actor(request, principal)
    rotated = await webhooks.endpoints.rotate_default(principal.tenant, given.overlap_s, actor)
    return _secret(webhooks, rotated)


@get("/api/v1/webhooks/deliveries")
async def list_deliveries(
    request: _Request,
    state: State,
    endpoint: FromQuery[str | None] = None,
    status: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> DeliveryList:
    """Deliveries of the caller's tenant, those of the latest jobs first."""
    principal, webhooks = _visit(request, state)
    if endpoint is not None and not ENDPOINT_ID.fullmatch(endpoint):
        raise InvalidParameter("endpoint", "is no id of an endpoint", endpoint)
    wanted = DeliveryFilter(endpoint=endpoint, status=_status(status))
    page = await webhooks.deliveries.page(principal.tenant, wanted, cursor, _limit(limit))
    return DeliveryList([delivery_view(each, with_log=False) for each in page.items], page.next)


@get("/api/v1/webhooks/deliveries/{delivery:str}")
async def get_delivery(request: _Request, state: State, delivery: FromPath[str]) -> DeliveryView:
    """One delivery with its latest attempts."""
    principal, webhooks = _visit(request, state)
    found = await webhooks.deliveries.read(principal.tenant, delivery)
    return delivery_view(found, with_log=True)


@post("/api/v1/webhooks/deliveries/{delivery:str}/redeliver", status_code=202)
async def redeliver(request: _Request, state: State, delivery: FromPath[str]) -> DeliveryView:
    """Send a delivery again, at once and with the same id, on a schedule that begins anew."""
    principal, webhooks = _visit(request, state)
    found = await webhooks.deliveries.redeliver(principal.tenant, delivery)
    return delivery_view(found, with_log=True)


def _visit(request: _Request, state: State) -> tuple[Principal, Webhooks]:
    """Who asks, if it may have jobs of all models.

    Raises:
        Unauthenticated: If it is nobody's.
        Forbidden: Without that scope.
    """
    principal = member_of(request, "Webhooks")
    if not principal.may("jobs"):
        raise Forbidden("The credentials lack the scope jobs", details={"scope": "jobs"})
    services: Services = state.services
    return principal, services.webhooks


def _actor(request: _Request, principal: Principal) -> Actor:
    return Actor(principal.client, request.scope["state"]["exchange"].request_id)


def _view(webhooks: Webhooks, endpoint: Endpoint) -> EndpointView:
    return endpoint_view(endpoint, webhooks.endpoints.draft(endpoint))


def _secret(webhooks: Webhooks, record: Endpoint | TenantSecret) -> SecretView:
    return secret_view(record, webhooks.endpoints.opened(record, time.time()))


def _patched(draft: Draft, changes: Any) -> Draft:
    current = {**msgspec.to_builtins(draft), "events": list(draft.events) or None}
    return body.shaped(body.merged(current, changes), EndpointBody).draft()


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    try:
        return Status(text)
    except ValueError:
        raise InvalidParameter("status", f"must be one of {', '.join(Status)}", text) from None


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be a whole number from 1 to {MAX_LIMIT}", text)
    return int(text)


HANDLERS: Final = (
    make_endpoint,
    list_endpoints,
    get_endpoint,
    patch_endpoint,
    delete_endpoint,
    get_secret,
    rotate_secret,
    get_default_secret,
    rotate_default_secret,
    list_deliveries,
    get_delivery,
    redeliver,
)
