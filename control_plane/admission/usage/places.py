"""Cursors that say where a list of more than ids goes on."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec
from msgspec import Struct

from control_plane.errors import InvalidParameter

_S = TypeVar("_S", bound=Struct)


def pack(place: Struct) -> str:
    """The opaque form of a place: base64url without padding (RFC 4648, section 5) of its JSON."""
    return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def unpack(text: str, shape: type[_S]) -> _S:
    """The place in a cursor.

    Args:
        text: From the client.
        shape: What such a place looks like.

    Raises:
        InvalidParameter: If it is none of this list's cursors.
    """
    try:
        place = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=shape)
    except (ValueError, msgspec.MsgspecError):
        raise refused(text) from None
    if pack(place) != text:
        raise refused(text)
    return place


def refused(text: str) -> InvalidParameter:
    """The error of a cursor of another list."""
    return InvalidParameter("cursor", "is no cursor of this list", text)
