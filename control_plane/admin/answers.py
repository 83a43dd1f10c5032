"""What the handlers of the operators' API share: pages, revisions, Location."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar
from urllib.parse import quote

from litestar import Request, Response

from control_plane.errors import InvalidParameter
from control_plane.records.pages import MAX_LIMIT

BASE: Final = "/admin/v1"
DEFAULT_LIMIT: Final = 50
_TAG: Final = re.compile(r'"([1-9][0-9]{0,17})"')
_DIGITS: Final = re.compile(r"[0-9]{1,12}")

_V = TypeVar("_V")


def page_limit(text: str | None) -> int:
    """The query parameter ``limit``.

    Raises:
        InvalidParameter: If it is no whole number from 1 to 200.
    """
    return DEFAULT_LIMIT if text is None else whole("limit", text, 1, MAX_LIMIT)


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number in a query parameter.

    Raises:
        InvalidParameter: If it is none, or outside of its range.
    """
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        raise InvalidParameter(name, f"must be a whole number from {low} to {high}", text)
    return int(text)


def expected_revision(request: Request[Any, Any, Any]) -> int | None:
    """The revision in If-Match; None if any will do.

    Raises:
        InvalidParameter: If it is no entity tag of this API.
    """
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    tag = _TAG.fullmatch(text)
    if tag is None:
        raise InvalidParameter("If-Match", 'must be * or one ETag, such as "3"', text)
    return int(tag[1])


def answer(view: _V, revision: int, status: int = 200, location: str | None = None) -> Response[_V]:
    """An answer with the revision as its ETag (RFC 9110).

    Args:
        view: Its body.
        revision: Of the resource.
        status: HTTP status.
        location: Path of a resource that was made, below ``/admin/v1``.
    """
    headers = {"etag": f'"{revision}"'}
    if location is not None:
        headers["location"] = quote(BASE + location)
    return Response(view, status_code=status, headers=headers)
