"""Lists in pages: a cursor is the id of the last item, so that none is left out or comes twice."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Generic, TypeVar

from msgspec import Struct

from control_plane.errors import InvalidParameter

_T = TypeVar("_T")

MAX_LIMIT: Final = 200
"""Items of one page at most."""


class Page(Struct, Generic[_T], frozen=True):
    """A part of a list.

    Attributes:
        items: In the order of the list.
        next: Cursor of the part that follows; None at the end.
    """

    items: list[_T]
    next: str | None


def cursor(last: str) -> str:
    """The opaque form of an id: base64url without padding (RFC 4648, section 5)."""
    return urlsafe_b64encode(last.encode()).rstrip(b"=").decode()


def last_of(text: str, form: re.Pattern[str]) -> str:
    """The id in a cursor.

    Args:
        text: From the client.
        form: What such an id looks like.

    Raises:
        InvalidParameter: If it is none of this list's cursors.
    """
    try:
        last = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        last = ""
    if not form.fullmatch(last) or cursor(last) != text:
        raise InvalidParameter("cursor", "is no cursor of this list", text)
    return last
