"""Who visits, and what every visit costs: the same for all paths of the public API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Request
from litestar.types import HTTPScope

from control_plane.admission.abuse.seen import Outcome
from control_plane.admission.accounts.shapes import OPERATORS
from control_plane.admission.limits.gate import OFFENCE
from control_plane.admission.limits.permit import Permit, Price
from control_plane.admission.principal import Principal
from control_plane.errors import Forbidden, TidegateError, Unauthenticated
from control_plane.services import Services
from control_plane.telemetry.exchange import Exchange

READ: Final = Price()
"""Of a request that reaches no model."""
REFUSED: Final = Price(offence=OFFENCE)
"""Of a request that is refused for what it is: it counts as any other, and against the client."""
_HARMLESS: Final = {("/api/v1/feedback", 404)}
"""Errors that a client cannot avoid: which predictions are kept for feedback it does not know."""
_BLAMELESS: Final = {"IDEMPOTENCY_IN_PROGRESS"}
"""Codes of requests that a client may well repeat: they count, and not against it."""
DECISION_S: Final = 2.0
_OUTCOMES: Final = {401: Outcome.AUTH, 403: Outcome.AUTH, 429: Outcome.LIMITED}


async def identify(
    services: Services, headers: Mapping[bytes, bytes], scope: HTTPScope, exchange: Exchange
) -> Principal:
    """Who visits.

    Raises:
        TidegateError: See :meth:`Identity.resolve`.
        Forbidden: With a key of the operators', which opens nothing here.
    """
    identity, peer = services.admission.identity, scope.get("client")
    principal = identity.known(headers, peer)
    if principal is None:
        principal = await identity.resolve(headers, peer)
    exchange.tenant = principal.tenant
    exchange.client = principal.client
    if principal.tenant == OPERATORS:
        raise Forbidden("The key is one of the operators'", details={"reason": "operators"})
    return principal


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """Who visits, as :class:`Front` found.

    Raises:
        Unauthenticated: If nobody was asked for.
    """
    principal: Principal | None = request.scope["state"].get("principal")
    if principal is None:
        raise Unauthenticated("The caller is not known")
    return principal


def member_of(request: Request[Any, Any, Any], what: str) -> Principal:
    """Who visits, if it is one of a tenant's.

    Args:
        request: Of the visit.
        what: What is kept of tenants, in the plural: ``Jobs``.

    Raises:
        Unauthenticated: If it is nobody's.
    """
    principal = principal_of(request)
    if principal.kind == "anonymous":
        raise Unauthenticated(f"{what} are of tenants: an API key or an access token is needed")
    return principal


def has_jobs(principal: Principal) -> bool:
    """True if a caller may have jobs of any model."""
    return any(scope.partition(":")[0] == "jobs" for scope in principal.scopes)


async def admit(
    services: Services, principal: Principal, price: Price, exchange: Exchange
) -> Permit:
    """Let a visit in that reaches no model; it has to be ended.

    Raises:
        TidegateError: See :meth:`Gate.admit`.
    """
    deadline = asyncio.get_running_loop().time() + DECISION_S
    permit = await services.admission.gate.admit(principal, price, deadline)
    exchange.admitted(permit)
    return permit


def watch(
    services: Services,
    principal: Principal,
    headers: Mapping[bytes, bytes],
    scope: HTTPScope,
    status: int,
    inputs: Sequence[Mapping[str, Any]] = (),
    body_bytes: int = 0,
) -> None:
    """Tell the abuse watch how a visit ended.

    Args:
        services: Of this process.
        principal: Who visited.
        headers: Of the request.
        scope: Of the request.
        status: Of the answer.
        inputs: The decoded inputs of a prediction that was made.
        body_bytes: Size of the body that they came in.
    """
    admission = services.admission
    network = admission.addresses.client(scope.get("client"), headers).network
    admission.watch.note(
        principal.subject, principal.client, network, _outcome(status), inputs, body_bytes
    )


def _outcome(status: int) -> Outcome:
    if status < 400:
        return Outcome.OK
    if status >= 500:
        return Outcome.FAILED
    return _OUTCOMES.get(status, Outcome.INVALID)


def leave(services: Services, principal: Principal, permit: Permit, path: str, status: int) -> None:
    """End a visit that reached no model; an error of the client's own making counts against it."""
    permit.refund(failed=status >= 400)
    if 400 <= status < 500 and (path, status) not in _HARMLESS:
        services.admission.gate.offend(principal, READ)


async def charged(
    services: Services, principal: Principal | None, error: TidegateError, exchange: Exchange
) -> TidegateError:
    """The error that a client sees for a request that was refused before it was admitted.

    It counts against the client's rate as any other request, and as an offence; a client that is
    over its limit, or blocked, is told that instead.
    """
    if principal is None or exchange.limits is not None or not 400 <= error.status < 500:
        return error
    if error.status == 429:
        return error
    try:
        price = READ if error.code in _BLAMELESS else REFUSED
        permit = await admit(services, principal, price, exchange)
    except TidegateError as refusal:
        return refusal if refusal.status == 429 else error
    permit.refund()
    return error
