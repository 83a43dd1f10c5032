"""What an upload is, from the signed address to its end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from control_plane.types import OpenObject

MARGIN_S: Final = 3600
"""How much longer than its address an upload may take, seconds; what is not there then is given
up."""


class State(StrEnum):
    """Where an upload stands."""

    WAITING = "waiting"
    COMPLETE = "complete"
    EXPIRED = "expired"
    GOING = "going"
    """Nobody sees it any more; its object is being deleted."""


class Wish(Struct, frozen=True):
    """What is to be uploaded.

    Attributes:
        filename: A label; names nothing.
        media_type: ``type/subtype``, lower case.
        size: Bytes.
        sha256: Of the content, 64 hexadecimal digits; empty if it was not said.
    """

    filename: str
    media_type: str
    size: int
    sha256: str = ""


class Upload(Struct, frozen=True, kw_only=True):
    """An upload as it is kept; times are epoch milliseconds, 0 for never.

    Attributes:
        id: See ``layout.UPLOAD_ID``.
        tenant: Whose it is.
        filename: A label.
        media_type: Lower case, without parameters.
        size: Bytes.
        sha256: Of the content; empty while nobody has said it or computed it.
        state: Where it stands.
        created_ms: When it was made.
        expires_ms: When its signed address ends.
        completed_ms: When its object was there.
        used_ms: When an input last named it.
        pin: What its content was when it was complete; see :class:`Found`.
    """

    id: str
    tenant: str
    filename: str
    media_type: str
    size: int
    sha256: str
    state: State
    created_ms: int
    expires_ms: int
    completed_ms: int = 0
    used_ms: int = 0
    pin: str = ""


class Address(Struct, frozen=True):
    """A signed address: one request to it puts one object.

    Attributes:
        method: Of the request.
        url: A URI reference (RFC 3986); one without a host is of this API's own.
        headers: To be sent as they are.
    """

    method: str
    url: str
    headers: Mapping[str, str]


class Found(Struct, frozen=True):
    """The object of an upload as it lies in the store.

    Attributes:
        size: Bytes.
        pin: What tells this content from any other.
        media_type: As the store has it; empty where it keeps none.
        sha256: Of the content, if it was computed on the way in or by the store; else empty.
    """

    size: int
    pin: str
    media_type: str = ""
    sha256: str = ""


class Contents(Protocol):
    """Where the objects of uploads lie, and how they get there."""

    async def address(self, upload: Upload) -> Address:
        """Sign an address for an upload.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """

    async def look(self, upload: Upload) -> Found | None:
        """The object of an upload, if it is there.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """

    def open(self, upload: Upload, pin: str) -> AbstractAsyncContextManager[OpenObject]:
        """Read the object of an upload while it is what the pin says."""

    async def delete(self, tenant: str, upload_id: str) -> None:
        """Delete the object of an upload, and what there is of it.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
