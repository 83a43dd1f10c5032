"""Uploads in a folder that all processes share.

::

    uploads/<tenant>/<id>/content    the object
    uploads/<tenant>/<id>/digests    SHA-256 of the whole, then of each MiB of it, 32 bytes each
    partial/<id>.<random>/           the same two files, of an upload under way

The pin of an object is the SHA-256 of its digests, and each part that is read is compared with its
own: whatever becomes of file, folder, inode or time, what is read is what was uploaded, or an
error. The two files appear together and never take the place of others: rename(2) of a folder
fails if there is a folder with files of that name.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from control_plane.errors import TidegateError
from control_plane.types import OpenObject
from control_plane.uploads import layout
from control_plane.uploads.links import METHOD, Link, LinkSigner
from control_plane.uploads.parts import PART_BYTES, opened_in_parts
from control_plane.uploads.shapes import Address, Found, Upload
from control_plane.uploads.store import reached, unusable

PARTIAL: Final = "partial"
CONTENT: Final = "content"
DIGESTS: Final = "digests"
_DIGEST_BYTES: Final = 32
_HELD_BYTES: Final = 131_072
"""What of an object is in memory before it goes to the disk: many come at once, and slowly."""


class FolderContents:
    """The objects of uploads in a folder; what takes time runs in threads."""

    def __init__(self, root: Path, signer: LinkSigner) -> None:
        """Use a folder.

        Args:
            root: Exists and can be written.
            signer: Of this API's own addresses.
        """
        self._root = root
        self._signer = signer

    async def address(self, upload: Upload) -> Address:
        """An address of this API's own."""
        seconds = upload.expires_ms // 1000
        link = Link(upload.id, upload.tenant, upload.size, upload.media_type, seconds)
        headers = {"content-type": upload.media_type, "content-length": str(upload.size)}
        return Address(METHOD, self._signer.url(link), headers)

    async def look(self, upload: Upload) -> Found | None:
        """The object, if it is there.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with reached():
            return await asyncio.to_thread(self._look, self._place(upload.tenant, upload.id))

    @asynccontextmanager
    async def open(self, upload: Upload, pin: str) -> AsyncIterator[OpenObject]:
        """Read an object, each part of which is compared with its digest.

        Raises:
            TidegateError: OBJECT_UNUSABLE if it is not there, or is not what the pin says;
                UPLOADS_UNAVAILABLE.
        """
        place = self._place(upload.tenant, upload.id)
        async with reached():
            digests = await asyncio.to_thread(_digests, place, pin)

        async def fetch(start: int, length: int) -> bytes:
            async with reached():
                return await asyncio.to_thread(_part, place, digests, start, length)

        async with opened_in_parts(upload.size, fetch) as reader:
            yield reader

    async def delete(self, tenant: str, upload_id: str) -> None:
        """Delete an object, and what was begun of it.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        async with reached():
            await asyncio.to_thread(self._delete, self._place(tenant, upload_id), upload_id)

    async def draft(self, upload: Upload) -> Draft:
        """Begin to write an object.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        partial = self._root / PARTIAL / f"{upload.id}.{secrets.token_hex(8)}"
        async with reached():
            return await asyncio.to_thread(Draft, partial, self._place(upload.tenant, upload.id))

    def _place(self, tenant: str, upload_id: str) -> Path:
        return self._root / layout.content(tenant, upload_id)

    def _look(self, place: Path) -> Found | None:
        try:
            digests = (place / DIGESTS).read_bytes()
            size = (place / CONTENT).stat().st_size
        except FileNotFoundError:
            return None
        whole = digests[:_DIGEST_BYTES].hex()
        return Found(size, hashlib.sha256(digests).hexdigest(), sha256=whole)

    def _delete(self, place: Path, upload_id: str) -> None:
        for folder in (place, *(self._root / PARTIAL).glob(f"{upload_id}.*")):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                continue


class Draft:
    """An object that is being written; nobody sees it before :meth:`commit`."""

    def __init__(self, partial: Path, place: Path) -> None:
        """Begin.

        Args:
            partial: Folder of its own that does not exist.
            place: Where it will be.
        """
        partial.mkdir(mode=0o700, parents=True)
        self._partial, self._place = partial, place
        self._file = (partial / CONTENT).open("xb", buffering=0)
        self._held = bytearray()
        self._written = 0
        self._whole, self._digests = hashlib.sha256(), bytearray()
        self._part = hashlib.sha256()
        self._step: asyncio.Future[None] | None = None
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Take the next bytes; they are on their way to the disk when this returns.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE, if the disk is full, too.
        """
        self.size += len(data)
        self._held += data
        if len(self._held) >= _HELD_BYTES:
            await self._run(self._flush)

    async def commit(self, sha256: str) -> Found:
        """Let it be seen, once it is on the disk.

        Args:
            sha256: What the whole has to have; empty for anything.

        Raises:
            TidegateError: OBJECT_UNUSABLE if it has another digest, UPLOAD_CONFLICT if there is an
                object already, UPLOADS_UNAVAILABLE.
        """
        await self._run(self._flush)
        whole = self._whole.hexdigest()
        if sha256 and sha256 != whole:
            raise _other_digest(sha256, whole)
        if self._written % PART_BYTES:
            self._digests += self._part.digest()
        digests = self._whole.digest() + self._digests
        await self._run(self._appear, digests)
        return Found(self.size, hashlib.sha256(digests).hexdigest(), sha256=whole)

    async def discard(self) -> None:
        """Leave nothing of it, unless it was committed."""
        if self._step is not None:
            await asyncio.wait({self._step})
        self._file.close()
        await asyncio.to_thread(shutil.rmtree, self._partial, ignore_errors=True)

    async def _run(self, step: Callable[..., None], *args: Any) -> None:
        """Run a step in a thread, which goes on if who waits is cancelled."""
        self._step = asyncio.ensure_future(asyncio.to_thread(step, *args))
        async with reached():
            await asyncio.shield(self._step)

    def _flush(self) -> None:
        held, self._held = self._held, bytearray()
        rest = memoryview(held)
        while rest:
            piece = rest[: PART_BYTES - self._written % PART_BYTES]
            self._whole.update(piece)
            self._part.update(piece)
            self._written += len(piece)
            if self._written % PART_BYTES == 0:
                self._digests += self._part.digest()
                self._part = hashlib.sha256()
            rest = rest[len(piece) :]
            while piece:
                piece = piece[self._file.write(piece) :]

    def _appear(self, digests: bytes) -> None:
        os.fsync(self._file.fileno())
        with (self._partial / DIGESTS).open("xb") as file:
            file.write(digests)
            file.flush()
            os.fsync(file.fileno())
        self._place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._partial.rename(self._place)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            raise conflict() from None
        folder = os.open(self._place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def conflict() -> TidegateError:
    """UPLOAD_CONFLICT."""
    return TidegateError("The object is there already, or is being written", code="UPLOAD_CONFLICT")


def _digests(place: Path, pin: str) -> bytes:
    digests = (place / DIGESTS).read_bytes()
    if hashlib.sha256(digests).hexdigest() != pin:
        raise unusable("It was replaced since it was looked at")
    return digests


def _part(place: Path, digests: bytes, start: int, length: int) -> bytes:
    with (place / CONTENT).open("rb", buffering=0) as file:
        part = os.pread(file.fileno(), length, start)
    index = (start // PART_BYTES + 1) * _DIGEST_BYTES
    if hashlib.sha256(part).digest() != digests[index : index + _DIGEST_BYTES]:
        raise unusable("It was replaced since it was looked at")
    return part


def _other_digest(expected: str, found: str) -> TidegateError:
    return TidegateError(
        "The content has another SHA-256 than was said",
        code="OBJECT_UNUSABLE",
        details={"reason": "It has another SHA-256", "expected": expected, "received": found},
    )
