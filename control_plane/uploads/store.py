"""Where objects lie: a folder, or a bucket of S3, Google or Azure, behind one small interface.

The one file that knows obstore's calls and exceptions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import obstore
from msgspec import Struct
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    NotModifiedError,
    PreconditionError,
)
from obstore.store import ObjectStore as Backend

from control_plane.errors import TidegateError

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

log = logging.getLogger(__name__)

STEP_S: Final = 30.0
"""What one call to the store may take before it counts as away, seconds."""


class Head(Struct, frozen=True):
    """What a store knows of an object.

    Attributes:
        size: Bytes.
        tag: Its entity tag (RFC 9110, section 8.8.3): another content has another one.
        media_type: As it was put; empty where the store keeps none.
    """

    size: int
    tag: str
    media_type: str = ""


class Listed(Struct, frozen=True):
    """An object of a list.

    Attributes:
        key: Where it lies.
        modified: When it was written.
    """

    key: str
    modified: datetime


class ObjectStore:
    """Objects by key; a key is a path of parts that are no user's text."""

    def __init__(self, backend: Backend) -> None:
        """Keep objects in a store that obstore has opened."""
        self._backend = backend

    async def put(self, key: str, data: bytes) -> None:
        """Write an object, in place of one that is there; readers see all of it or none.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE if the store cannot be reached, or is full.
        """
        async with reached():
            await obstore.put_async(self._backend, key, data, use_multipart=False)

    async def get(self, key: str) -> bytes:
        """The whole of an object.

        Raises:
            TidegateError: OBJECT_UNUSABLE if there is none, UPLOADS_UNAVAILABLE.
        """
        async with reached():
            found = await obstore.get_async(self._backend, key)
            return bytes(await found.bytes_async())

    async def read(self, key: str, start: int, length: int, tag: str) -> bytes:
        """A part of an object that still has its tag.

        Args:
            key: Where it lies.
            start: First byte.
            length: Bytes, at least 1; fewer come at the end of the object.
            tag: See :attr:`Head.tag`.

        Raises:
            TidegateError: OBJECT_UNUSABLE if there is none, or it was replaced;
                UPLOADS_UNAVAILABLE.
        """
        options: GetOptions = {"range": (start, start + length), "if_match": tag}
        async with reached():
            found = await obstore.get_async(self._backend, key, options=options)
            return bytes(await found.bytes_async())

    async def head(self, key: str) -> Head | None:
        """What is known of an object; None if there is none.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with reached():
            try:
                found = await obstore.get_async(self._backend, key, options={"head": True})
            except (NotFoundError, FileNotFoundError):
                return None
            meta, media_type = found.meta, found.attributes.get("Content-Type", "")
        return Head(meta["size"], meta["e_tag"] or "", media_type)

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good as deleted.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with reached():
            try:
                await obstore.delete_async(self._backend, key)
            except (NotFoundError, FileNotFoundError):
                log.debug("an object was gone already")

    async def listed(self, prefix: str) -> AsyncIterator[list[Listed]]:
        """All objects whose key begins with a prefix, a thousand at a time, in any order.

        Args:
            prefix: Whole parts of a path.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        nothing: list[ObjectMeta] = []
        stream = aiter(obstore.list(self._backend, prefix, chunk_size=1000))
        while True:
            async with reached():
                found = await anext(stream, nothing)
            if not found:
                return
            yield [Listed(meta["path"], meta["last_modified"]) for meta in found]


@asynccontextmanager
async def reached() -> AsyncIterator[None]:
    """Around one call to a store, whose failures become errors of the catalogue.

    Raises:
        TidegateError: OBJECT_UNUSABLE if what is asked for is not there or was replaced,
            UPLOADS_UNAVAILABLE for all else.
    """
    try:
        async with asyncio.timeout(STEP_S):
            yield
    except (NotFoundError, FileNotFoundError):
        raise unusable("It is not there") from None
    except (PreconditionError, NotModifiedError, AlreadyExistsError):
        raise unusable("It was replaced since it was looked at") from None
    except (BaseError, OSError, TimeoutError) as error:
        log.warning("the object store is away", extra={"error": type(error).__name__})
        raise unavailable() from None


def unusable(reason: str) -> TidegateError:
    """OBJECT_UNUSABLE with a reason."""
    return TidegateError(
        f"The object cannot be used: {reason[:1].lower()}{reason[1:]}",
        code="OBJECT_UNUSABLE",
        details={"reason": reason},
    )


def unavailable() -> TidegateError:
    """UPLOADS_UNAVAILABLE."""
    return TidegateError(
        "The object store cannot be reached",
        code="UPLOADS_UNAVAILABLE",
        headers={"retry-after": "2"},
    )
