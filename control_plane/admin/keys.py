"""API keys: of tenants, and of the operators themselves (tenant ``operators``)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from msgspec import UNSET, UnsetType

from control_plane.admin.answers import answer, expected_revision, page_limit
from control_plane.admin.bodies import read_body, read_json
from control_plane.admin.guards import actor_of, check_within, principal_of
from control_plane.admin.operation import PAGED, operation
from control_plane.admin.schemas import (
    KeyFields,
    KeyPage,
    KeyShown,
    KeyView,
    RotateBody,
    key_view,
    plain,
)
from control_plane.admin.services import AdminServices
from control_plane.admission.accounts.shapes import OPERATORS, ApiKey
from control_plane.admission.identity import apikeys
from control_plane.admission.principal import Principal
from control_plane.errors import AdmissionUnavailable, InvalidInput, TidegateError
from control_plane.web.body import fault, merged, shaped


@get("/tenants/{tenant:str}/keys", opt=operation("keys:read", answer=KeyPage, query=PAGED))
async def list_keys(
    state: State,
    tenant: FromPath[str],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> KeyPage:
    """List the keys of a tenant, revoked ones too; those of operators under `operators`."""
    services: AdminServices = state.services
    page = await services.store.keys(tenant, cursor, page_limit(limit))
    return KeyPage(await _seen(services, tenant, page.items), page.next)


@post("/tenants/{tenant:str}/keys", opt=operation("keys:write", answer=KeyShown, body=KeyFields))
async def create_key(
    state: State, request: Request[Any, Any, Any], tenant: FromPath[str]
) -> Response[KeyShown]:
    """Make a key; its secret is in this answer and nowhere else."""
    services: AdminServices = state.services
    fields = await read_body(request, KeyFields)
    _check(fields, tenant, principal_of(request))
    text, key_id = apikeys.mint()
    digests = (apikeys.digest(text, services.key_pepper),)
    record = _applied(ApiKey(id=key_id, tenant=tenant, digests=digests), fields)
    made = await services.store.create_key(record, actor_of(request))
    return _shown(text, made, 201)


@get("/keys/{key:str}", opt=operation("keys:read", answer=KeyView))
async def get_key(state: State, key: FromPath[str]) -> Response[KeyView]:
    """Show a key."""
    services: AdminServices = state.services
    found = await services.store.key(key)
    (view,) = await _seen(services, found.tenant, [found])
    return answer(view, found.revision)


@patch(
    "/keys/{key:str}",
    opt=operation("keys:write", answer=KeyView, body=KeyFields, is_patch=True, is_conditional=True),
)
async def patch_key(
    state: State, request: Request[Any, Any, Any], key: FromPath[str]
) -> Response[KeyView]:
    """Change a key's name, scopes, networks or expiry: null sets a value back to its default."""
    services: AdminServices = state.services
    changes = await read_json(request)
    principal = principal_of(request)

    def edit(before: ApiKey) -> ApiKey:
        _check_usable(before, principal)
        current = KeyFields(
            name=before.name,
            scopes=before.scopes,
            networks=before.networks,
            expires_at=before.expires_at or None,
        )
        fields = shaped(merged(plain(current), changes), KeyFields)
        _check(fields, before.tenant, principal, before.expires_at)
        return _applied(before, fields)

    after = await services.store.change_key(
        key, edit, "key.patch", actor_of(request), expected_revision(request)
    )
    return answer(key_view(after, time.time()), after.revision)


@delete(
    "/keys/{key:str}",
    status_code=200,
    opt=operation("keys:write", answer=KeyView, is_conditional=True),
)
async def revoke_key(
    state: State, request: Request[Any, Any, Any], key: FromPath[str]
) -> Response[KeyView]:
    """Revoke a key, for good; its record stays."""
    services: AdminServices = state.services
    principal = principal_of(request)

    def edit(before: ApiKey) -> ApiKey:
        _check_own(before, principal)
        if before.revoked_at:
            return before
        return msgspec.structs.replace(before, revoked_at=int(time.time()))

    after = await services.store.change_key(
        key, edit, "key.revoke", actor_of(request), expected_revision(request)
    )
    return answer(key_view(after, time.time()), after.revision)


@post(
    "/keys/{key:str}/rotate",
    status_code=200,
    opt=operation("keys:write", answer=KeyShown, body=RotateBody, is_conditional=True),
)
async def rotate_key(
    state: State, request: Request[Any, Any, Any], key: FromPath[str]
) -> Response[KeyShown]:
    """Give a key another secret, which is in this answer and nowhere else."""
    services: AdminServices = state.services
    body = await read_body(request, RotateBody)
    principal = principal_of(request)
    text, _ = apikeys.mint(key)
    digest = apikeys.digest(text, services.key_pepper)

    def edit(before: ApiKey) -> ApiKey:
        _check_usable(before, principal)
        kept = before.digests[:1] if body.overlap_s else ()
        until = int(time.time()) + body.overlap_s if kept else 0
        return msgspec.structs.replace(before, digests=(digest, *kept), digest_until=until)

    after = await services.store.change_key(
        key, edit, "key.rotate", actor_of(request), expected_revision(request)
    )
    return _shown(text, after, 200)


async def _seen(services: AdminServices, tenant: str, keys: list[ApiKey]) -> list[KeyView]:
    """A tenant's keys with their last use, unless the server that knows it is away."""
    used: Sequence[int | UnsetType | None] = [UNSET] * len(keys)
    if tenant != OPERATORS:
        with suppress(AdmissionUnavailable):
            used = await services.usage.last_used(tenant, [f"k:{key.id}" for key in keys])
    now = time.time()
    return [key_view(key, now, at) for key, at in zip(keys, used, strict=True)]


def _shown(text: str, key: ApiKey, status: int) -> Response[KeyShown]:
    location = f"/keys/{key.id}" if status == 201 else None
    shown = KeyShown(key=text, record=key_view(key, time.time()))
    return answer(shown, key.revision, status, location)


def _applied(key: ApiKey, fields: KeyFields) -> ApiKey:
    return msgspec.structs.replace(
        key,
        name=fields.name,
        scopes=fields.scopes,
        networks=fields.networks,
        expires_at=fields.expires_at or 0,
    )


def _check_own(key: ApiKey, principal: Principal) -> None:
    """Who could change or rotate an operator's key of wider scopes would have them."""
    if key.tenant == OPERATORS:
        check_within(principal, key.scopes)


def _check_usable(key: ApiKey, principal: Principal) -> None:
    _check_own(key, principal)
    if key.revoked_at:
        raise TidegateError("The key is revoked, for good", code="REVISION_CONFLICT")


def _check(fields: KeyFields, tenant: str, principal: Principal, expires_at: int = 0) -> None:
    """Refuse what the shape alone allows.

    Args:
        fields: Asked for.
        tenant: Whose key it is.
        principal: Who asks.
        expires_at: Expiry of the key so far, which may be past.
    """
    for index, scope in enumerate(fields.scopes):
        if (scope.partition(":")[0] == "admin") != (tenant == OPERATORS):
            issue = "operators' keys take scopes of admin, and only they do"
            raise InvalidInput([fault(["scopes", index], issue, scope)])
    for index, network in enumerate(fields.networks):
        try:
            ip_network(network)
        except ValueError as error:
            raise InvalidInput([fault(["networks", index], str(error), network)]) from None
    if fields.expires_at not in {None, expires_at} and fields.expires_at <= time.time():
        raise InvalidInput([fault(["expires_at"], "is past", fields.expires_at)])
    if tenant == OPERATORS:
        check_within(principal, fields.scopes)


HANDLERS: Final = (list_keys, create_key, get_key, patch_key, revoke_key, rotate_key)
