"""Query parameters that nobody reads are refused, not ignored."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request

from control_plane.errors import InvalidParameter

_RESERVED: Final = frozenset({"state", "request", "body", "data", "headers"})
"""Parameters of a handler that Litestar fills from elsewhere."""


def known_query(request: Request[Any, Any, Any]) -> None:
    """Refuse query parameters that the handler does not have; for ``before_request``.

    OPTIONS asks about the resource, whatever parameters another method has.

    Raises:
        InvalidParameter: If one is unknown, or stands twice.
    """
    if request.method == "OPTIONS":
        return
    parameters = request.route_handler.parsed_fn_signature.parameters.items()
    known = {getattr(field.kwarg_definition, "name", None) or own for own, field in parameters}
    known -= _RESERVED
    given = request.query_params
    for name in given:
        if name not in known or name in request.path_params:
            raise InvalidParameter(name[:64], "is no parameter of this resource")
        if len(given.getall(name)) > 1:
            raise InvalidParameter(name[:64], "stands twice")
