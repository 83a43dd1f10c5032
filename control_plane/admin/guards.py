"""Who may do what on the operators' port: keys of the tenant ``operators`` and their scopes."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers.base import BaseRouteHandler

from control_plane.admin.operation import KEY, Operation
from control_plane.admin.services import AdminServices
from control_plane.admission.accounts.shapes import OPERATORS
from control_plane.admission.principal import Principal
from control_plane.errors import Forbidden, Unauthenticated
from control_plane.records.transaction import Actor
from control_plane.telemetry.exchange import Exchange


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request in whose key has the scope of its handler.

    Raises:
        Unauthenticated: Without a key, or with one that is not valid.
        Forbidden: With a key that may not do this; names the scope.
    """
    services: AdminServices = connection.app.state.services
    headers = _headers(connection)
    if not headers.keys() & {b"authorization", b"x-api-key"}:
        raise Unauthenticated("The operators' API needs a key")
    principal = await services.identity.resolve(headers, connection.scope["client"])
    if not is_operator(principal):
        raise Forbidden("The key is none of the operators'")
    operation: Operation | None = handler.opt.get(KEY)
    if operation is not None and not principal.may("admin", operation.scope):
        scope = f"admin:{operation.scope}"
        raise Forbidden(f"The key lacks the scope {scope}", details={"scope": scope})
    # Litestar's own handler of OPTIONS, which tells the methods, says nothing of itself.
    if operation is None and connection.scope.get("method") != HttpMethod.OPTIONS:
        raise Forbidden("The resource names no scope that would open it")
    connection.scope["state"]["principal"] = principal


def _headers(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[bytes, bytes]:
    """By lower-case name; one that stands twice is joined, which no credential survives."""
    headers: dict[bytes, bytes] = {}
    for name, value in connection.scope["headers"]:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def is_operator(principal: Principal) -> bool:
    """True for a key of the operators'; a token of a provider never is one."""
    return principal.kind == "key" and principal.tenant == OPERATORS


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """The operator that the guard let in."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """On whose behalf the request changes something."""
    exchange: Exchange = request.scope["state"]["exchange"]
    return Actor(principal_of(request).client, exchange.request_id)


def check_within(principal: Principal, scopes: Iterable[str]) -> None:
    """Refuse scopes that are wider than the operator's own.

    Raises:
        Forbidden: Naming the first.
    """
    for scope in scopes:
        if not any(is_within(scope, own) for own in principal.scopes):
            raise Forbidden(
                f"The scope {scope} is wider than those of your own key", details={"scope": scope}
            )


def is_within(scope: str, own: str) -> bool:
    """True if all that a scope allows is allowed by another.

    A pattern is matched as text: only a ``*`` of the own scope stands for the other's ``*``.
    """
    action, _, target = scope.partition(":")
    own_action, _, pattern = own.partition(":")
    if action != own_action or not pattern:
        return action == own_action
    return fnmatchcase(target, pattern) or fnmatchcase(target, f"{pattern}:*")
