"""Uploads in a bucket: clients put them there themselves, at addresses that the provider checks.

On S3 an address binds key, method, size, media type and that nothing is there yet, and the digest
if the client has said it. The addresses of Google and Azure bind key and method alone: there size
and media type are compared when the object is first looked at, and what was put over it later is
refused by its entity tag.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import obstore
from msgspec import Struct

from control_plane.types import OpenObject
from control_plane.uploads import layout
from control_plane.uploads.parts import opened_in_parts
from control_plane.uploads.shapes import Address, Found, Upload
from control_plane.uploads.sigv4 import Credentials, presigned
from control_plane.uploads.store import ObjectStore, reached

if TYPE_CHECKING:
    from obstore import SignCapableStore

METHOD: Final = "PUT"


class Signer(Protocol):
    """Signs addresses of a bucket."""

    async def sign(self, key: str, upload: Upload, seconds: int) -> Address:
        """An address to put one object at.

        Args:
            key: Of the object.
            upload: What it is to be.
            seconds: How long the address is good for.
        """


class S3Signer(Struct, frozen=True):
    """Signs as S3 wants it.

    Attributes:
        base: Address of the bucket with the prefix of its keys, without a slash at the end.
        region: Of the bucket.
        credentials: Who signs.
        clock: Gives the time, UTC.
    """

    base: str
    region: str
    credentials: Credentials
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def sign(self, key: str, upload: Upload, seconds: int) -> Address:
        """An address that binds what the headers say."""
        headers = {
            "content-length": str(upload.size),
            "content-type": upload.media_type,
            "if-none-match": "*",
        }
        if upload.sha256:
            digest = b64encode(bytes.fromhex(upload.sha256)).decode()
            headers["x-amz-checksum-sha256"] = digest
        url = presigned(
            METHOD,
            f"{self.base}/{key}",
            headers,
            credentials=self.credentials,
            region=self.region,
            now=self.clock(),
            seconds=seconds,
        )
        return Address(METHOD, url, headers)


class ProviderSigner(Struct, frozen=True):
    """Signs as Google or Azure want it.

    Attributes:
        backend: Opened by obstore, with credentials.
        headers: That the provider asks for.
    """

    backend: SignCapableStore
    headers: dict[str, str]

    async def sign(self, key: str, upload: Upload, seconds: int) -> Address:
        """An address that binds key and method."""
        async with reached():
            url = await obstore.sign_async(self.backend, METHOD, key, timedelta(seconds=seconds))
        sent = {"content-length": str(upload.size), "content-type": upload.media_type}
        return Address(METHOD, url, {**sent, **self.headers})


class BucketContents:
    """The objects of uploads in a bucket."""

    def __init__(self, objects: ObjectStore, signer: Signer) -> None:
        """Use a bucket.

        Args:
            objects: Reads it.
            signer: Of its addresses.
        """
        self._objects = objects
        self._signer = signer

    async def address(self, upload: Upload) -> Address:
        """An address of the bucket's provider."""
        seconds = (upload.expires_ms - upload.created_ms) // 1000
        key = layout.content(upload.tenant, upload.id)
        return await self._signer.sign(key, upload, seconds)

    async def look(self, upload: Upload) -> Found | None:
        """The object, if it is there."""
        head = await self._objects.head(layout.content(upload.tenant, upload.id))
        if head is None:
            return None
        return Found(head.size, head.tag, head.media_type)

    @asynccontextmanager
    async def open(self, upload: Upload, pin: str) -> AsyncIterator[OpenObject]:
        """Read an object; each part of it only while the object has its entity tag."""
        key = layout.content(upload.tenant, upload.id)

        async def fetch(start: int, length: int) -> bytes:
            return await self._objects.read(key, start, length, pin)

        async with opened_in_parts(upload.size, fetch) as reader:
            yield reader

    async def delete(self, tenant: str, upload_id: str) -> None:
        """Delete an object."""
        await self._objects.delete(layout.content(tenant, upload_id))
