"""Tiers: classes of tenants with their limits and prices."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.admin.answers import answer, expected_revision, page_limit
from control_plane.admin.bodies import read_body, read_json
from control_plane.admin.guards import actor_of
from control_plane.admin.operation import PAGED, operation
from control_plane.admin.schemas import (
    TierBody,
    TierFields,
    TierPage,
    TierView,
    plain,
    tier_view,
)
from control_plane.admin.services import AdminServices
from control_plane.admission.accounts.shapes import Limits, Tier
from control_plane.web.body import merged, shaped


@get("/tiers", opt=operation("tiers:read", answer=TierPage, query=PAGED))
async def list_tiers(
    state: State, cursor: FromQuery[str | None] = None, limit: FromQuery[str | None] = None
) -> TierPage:
    """List the tiers."""
    services: AdminServices = state.services
    page = await services.store.tiers(cursor, page_limit(limit))
    return TierPage([tier_view(tier) for tier in page.items], page.next)


@post("/tiers", opt=operation("tiers:write", answer=TierView, body=TierBody))
async def create_tier(state: State, request: Request[Any, Any, Any]) -> Response[TierView]:
    """Make a tier."""
    services: AdminServices = state.services
    body = await read_body(request, TierBody)
    tier = _applied(Tier(name=body.name, limits=body.limits), body)
    made = await services.store.create_tier(tier, actor_of(request))
    return answer(tier_view(made), made.revision, 201, f"/tiers/{made.name}")


@get("/tiers/{tier:str}", opt=operation("tiers:read", answer=TierView))
async def get_tier(state: State, tier: FromPath[str]) -> Response[TierView]:
    """Show a tier."""
    services: AdminServices = state.services
    found = await services.store.tier(tier)
    return answer(tier_view(found), found.revision)


@patch(
    "/tiers/{tier:str}",
    opt=operation(
        "tiers:write", answer=TierView, body=TierFields, is_patch=True, is_conditional=True
    ),
)
async def patch_tier(
    state: State, request: Request[Any, Any, Any], tier: FromPath[str]
) -> Response[TierView]:
    """Change a tier: null sets a value back to its default."""
    services: AdminServices = state.services
    changes = await read_json(request)

    def edit(before: Tier) -> Tier:
        current = plain(msgspec.convert(before, TierFields, from_attributes=True))
        return _applied(before, shaped(merged(current, changes), TierFields))

    expected = expected_revision(request)
    after = await services.store.change_tier(tier, edit, actor_of(request), expected)
    return answer(tier_view(after), after.revision)


@delete("/tiers/{tier:str}", opt=operation("tiers:write", is_conditional=True))
async def delete_tier(state: State, request: Request[Any, Any, Any], tier: FromPath[str]) -> None:
    """Delete a tier that no tenant has."""
    services: AdminServices = state.services
    await services.store.delete_tier(tier, actor_of(request), expected_revision(request))


def _applied(tier: Tier, fields: TierFields) -> Tier:
    return msgspec.structs.replace(
        tier,
        title=fields.title,
        limits=msgspec.convert(fields.limits, Limits, from_attributes=True),
        unit_price=fields.unit_price,
        overage_unit_price=fields.overage_unit_price,
        currency=fields.currency,
    )


HANDLERS: Final = (list_tiers, create_tier, get_tier, patch_tier, delete_tier)
