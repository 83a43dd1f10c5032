"""What Litestar raises, as errors of the catalogue."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from control_plane import problem
from control_plane.errors import TidegateError
from control_plane.telemetry.exchange import Exchange

log = logging.getLogger(__name__)


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The one exception handler of a Litestar application."""
    exchange: Exchange = request.scope["state"]["exchange"]
    translated = error if isinstance(error, TidegateError) else _translate(error, exchange)
    exchange.error = translated.code
    accept = request.headers.get("accept", "").encode("latin-1")
    asked = problem.wants_problem(accept)
    return Response(
        problem.error_body(translated, exchange, problem=asked),
        status_code=translated.status,
        media_type=(problem.PROBLEM if asked else problem.JSON).decode(),
        headers=translated.headers,
    )


def _translate(error: Exception, exchange: Exchange) -> TidegateError:
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return TidegateError("There is no such resource", code="NOT_FOUND")
        if error.status_code == 405:
            allow = (error.headers or {}).get("allow", "")
            return TidegateError(
                "The resource does not take this method",
                code="METHOD_NOT_ALLOWED",
                headers={"allow": allow},
            )
        if error.status_code == 413:
            return TidegateError("The body is too large", code="PAYLOAD_TOO_LARGE")
        if error.status_code == 400:
            return TidegateError("The request is not valid", code="INVALID_PARAMETER")
    log.error(
        "request failed",
        extra={"request_id": exchange.request_id},
        exc_info=(type(error), error, error.__traceback__),
    )
    return TidegateError("The server failed")
