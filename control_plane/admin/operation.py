"""What a handler of the operators' API says of itself: for its guard and for OpenAPI."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

KEY: Final = "operation"


class Query(Struct, frozen=True):
    """A query parameter.

    Attributes:
        name: Its name.
        description: For people.
        schema: JSON Schema of its value.
    """

    name: str
    description: str
    schema: dict[str, Any]


class Operation(Struct, frozen=True, kw_only=True):
    """A handler's scope and shapes.

    Attributes:
        scope: What a key must be allowed to: ``tenants:read``.
        answer: Shape of the answer; None for one without a body.
        body: Shape of the request's body; None without one.
        is_patch: True if the body is a JSON merge patch of that shape (RFC 7396).
        query: Its query parameters.
        is_conditional: True if it takes If-Match.
        media_types: Of the answer, if it is not JSON.
    """

    scope: str
    answer: type[Struct] | None = None
    body: type[Struct] | None = None
    is_patch: bool = False
    query: tuple[Query, ...] = ()
    is_conditional: bool = False
    media_types: tuple[str, ...] = ()


def operation(scope: str, **facts: Any) -> dict[str, Operation]:
    """A handler's ``opt``; see :class:`Operation` for the facts."""
    return {KEY: Operation(scope=scope, **facts)}


CURSOR: Final = Query(
    "cursor", "`next_cursor` of the page before", {"type": "string", "maxLength": 200}
)
LIMIT: Final = Query(
    "limit",
    "Items of the page",
    {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
)
PAGED: Final = (CURSOR, LIMIT)
