"""Bodies of the operators' API: whoever sends one is asked for again once it is there."""

from __future__ import annotations

from typing import Any, TypeVar

from litestar import Request
from msgspec import Struct

from control_plane.admin.guards import guard
from control_plane.web import body

_S = TypeVar("_S", bound=Struct)


async def read_body(request: Request[Any, Any, Any], shape: type[_S]) -> _S:
    """The body as a Struct.

    Raises:
        TidegateError: See :func:`control_plane.web.body.read_body` and :func:`read_json`.
    """
    return body.shaped(await read_json(request), shape)


async def read_json(request: Request[Any, Any, Any]) -> Any:
    """The body as plain values.

    A body may take half a minute, in which a key can be revoked or lose a scope: what the key may
    do counts as it is now.

    Raises:
        TidegateError: See :func:`control_plane.web.body.read_json`.
        Unauthenticated: If the key is not valid any more.
        Forbidden: If it may not do this any more.
    """
    value = await body.read_json(request)
    await guard(request, request.route_handler)
    return value
