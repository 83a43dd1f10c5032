"""Tenants: customers, their tier, and limits of their own in place of the tier's."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.admin.answers import answer, expected_revision, page_limit
from control_plane.admin.bodies import read_body, read_json
from control_plane.admin.guards import actor_of
from control_plane.admin.operation import PAGED, operation
from control_plane.admin.schemas import (
    TenantBody,
    TenantFields,
    TenantPage,
    TenantView,
    plain,
    tenant_view,
)
from control_plane.admin.services import AdminServices
from control_plane.admission.accounts.shapes import Overrides, Tenant
from control_plane.web.body import merged, shaped


@get("/tenants", opt=operation("tenants:read", answer=TenantPage, query=PAGED))
async def list_tenants(
    state: State, cursor: FromQuery[str | None] = None, limit: FromQuery[str | None] = None
) -> TenantPage:
    """List the tenants."""
    services: AdminServices = state.services
    page = await services.store.tenants(cursor, page_limit(limit))
    return TenantPage([tenant_view(tenant) for tenant in page.items], page.next)


@post("/tenants", opt=operation("tenants:write", answer=TenantView, body=TenantBody))
async def create_tenant(state: State, request: Request[Any, Any, Any]) -> Response[TenantView]:
    """Make a tenant; the id of a deleted one is not used again."""
    services: AdminServices = state.services
    body = await read_body(request, TenantBody)
    tenant = msgspec.convert(body, Tenant, from_attributes=True)
    made = await services.store.create_tenant(tenant, actor_of(request))
    return answer(tenant_view(made), made.revision, 201, f"/tenants/{made.id}")


@get("/tenants/{tenant:str}", opt=operation("tenants:read", answer=TenantView))
async def get_tenant(state: State, tenant: FromPath[str]) -> Response[TenantView]:
    """Show a tenant."""
    services: AdminServices = state.services
    found = await services.store.tenant(tenant)
    return answer(tenant_view(found), found.revision)


@patch(
    "/tenants/{tenant:str}",
    opt=operation(
        "tenants:write", answer=TenantView, body=TenantFields, is_patch=True, is_conditional=True
    ),
)
async def patch_tenant(
    state: State, request: Request[Any, Any, Any], tenant: FromPath[str]
) -> Response[TenantView]:
    """Change a tenant: its title or tier, suspended or not."""
    services: AdminServices = state.services
    changes = await read_json(request)

    def edit(before: Tenant) -> Tenant:
        current = plain(msgspec.convert(before, TenantFields, from_attributes=True))
        fields = shaped(merged(current, changes), TenantFields)
        return msgspec.structs.replace(
            before, title=fields.title, tier=fields.tier, suspended=fields.suspended
        )

    expected = expected_revision(request)
    after = await services.store.change_tenant(tenant, edit, actor_of(request), expected)
    return answer(tenant_view(after), after.revision)


@delete("/tenants/{tenant:str}", opt=operation("tenants:write", is_conditional=True))
async def delete_tenant(
    state: State, request: Request[Any, Any, Any], tenant: FromPath[str]
) -> None:
    """Delete a tenant and all its keys; its usage stays."""
    services: AdminServices = state.services
    await services.store.delete_tenant(tenant, actor_of(request), expected_revision(request))


@put(
    "/tenants/{tenant:str}/overrides",
    opt=operation("tenants:write", answer=TenantView, body=Overrides, is_conditional=True),
)
async def put_overrides(
    state: State, request: Request[Any, Any, Any], tenant: FromPath[str]
) -> Response[TenantView]:
    """Set the limits that a tenant has in place of its tier's; a quota of null is no cap."""
    overrides = await read_body(request, Overrides)
    return await _override(state, request, tenant, overrides)


@delete(
    "/tenants/{tenant:str}/overrides",
    status_code=200,
    opt=operation("tenants:write", answer=TenantView, is_conditional=True),
)
async def delete_overrides(
    state: State, request: Request[Any, Any, Any], tenant: FromPath[str]
) -> Response[TenantView]:
    """Give a tenant the limits of its tier."""
    return await _override(state, request, tenant, Overrides())


async def _override(
    state: State, request: Request[Any, Any, Any], tenant: str, overrides: Overrides
) -> Response[TenantView]:
    services: AdminServices = state.services

    def edit(before: Tenant) -> Tenant:
        return msgspec.structs.replace(before, overrides=overrides)

    after = await services.store.change_tenant(
        tenant, edit, actor_of(request), expected_revision(request), "tenant.override"
    )
    return answer(tenant_view(after), after.revision)


HANDLERS: Final = (
    list_tenants,
    create_tenant,
    get_tenant,
    patch_tenant,
    delete_tenant,
    put_overrides,
    delete_overrides,
)
