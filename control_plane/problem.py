"""The error envelope and its RFC 9457 form: the one renderer of errors, for every door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from control_plane.error_codes import CATALOGUE
from control_plane.errors import InvalidInput, TidegateError
from control_plane.telemetry.exchange import Exchange

Headers = list[tuple[bytes, bytes]]

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
_encode: Final = msgspec.json.Encoder().encode


def exchange_headers(exchange: Exchange) -> Headers:
    """The ids of an exchange, and where its caller stands with rate and quota."""
    headers = [(b"x-request-id", exchange.request_id.encode())]
    if exchange.client_request_id is not None:
        headers.append((b"x-client-request-id", exchange.client_request_id.encode()))
    if exchange.limits is not None:
        headers += exchange.limits()
    return headers


def error_body(error: TidegateError, exchange: Exchange, *, problem: bool) -> bytes:
    """The envelope of an error, or the same as RFC 9457.

    Args:
        error: What happened.
        exchange: Its request.
        problem: True for ``application/problem+json``.
    """
    if problem:
        return _encode(
            {
                "type": f"urn:tidegate:error:{error.code.lower().replace('_', '-')}",
                "title": CATALOGUE[error.code].summary,
                "status": error.status,
                "detail": error.message,
                "instance": f"urn:tidegate:request:{exchange.request_id}",
                "code": error.code,
                **_facts(error),
                "request_id": exchange.request_id,
                "timestamp": _timestamp(),
            }
        )
    return envelope(error, exchange.request_id)


def envelope(error: TidegateError, request_id: str) -> bytes:
    """The envelope of an error, whose request need not be under way any more."""
    body = {**described(error), "request_id": request_id, "timestamp": _timestamp()}
    return _encode({"error": body})


def described(error: TidegateError) -> dict[str, Any]:
    """An error within an answer that has the ids and the time already: code, message, facts."""
    return {"code": error.code, "message": error.message, **_facts(error)}


def wants_problem(accept: bytes) -> bool:
    """True if the client asks for errors as RFC 9457."""
    return PROBLEM in accept.lower()


def _facts(error: TidegateError) -> dict[str, Any]:
    """``details``: what is known of the error; ``errors``: every fault, if there are several."""
    if not isinstance(error, InvalidInput):
        return {"details": error.details}
    faults = [msgspec.to_builtins(fault) for fault in error.faults]
    return {"details": faults[0]} | ({"errors": faults} if len(faults) > 1 else {})


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
