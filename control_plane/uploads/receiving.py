"""Takes the bytes of an object that is to lie in a folder: streamed, hashed, written once."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from control_plane.errors import DeadlineExceeded, Forbidden, TidegateError
from control_plane.uploads.folder import Draft, FolderContents, conflict
from control_plane.uploads.links import Link, LinkSigner
from control_plane.uploads.records import HOLD_MS, UploadRecords
from control_plane.uploads.shapes import MARGIN_S, Found, Upload

SILENCE_S: Final = 30.0
"""How long an upload may send nothing before it counts as cut off, seconds."""

_LAST_S: Final = 120
"""How long before an upload is given up it has to end, seconds."""


class Receiver:
    """Takes objects at signed addresses of this API's own."""

    def __init__(
        self,
        records: UploadRecords,
        folder: FolderContents,
        signer: LinkSigner,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take nothing yet.

        Args:
            records: Of the uploads.
            folder: Where objects lie.
            signer: Signed the addresses.
            clock: Epoch seconds.
        """
        self._records = records
        self._folder = folder
        self._signer = signer
        self._clock = clock

    def check(self, link: Link, signature: str) -> None:
        """Refuse a request that is not what was signed; asks no server.

        Raises:
            Forbidden: If the signature does not fit.
            TidegateError: UPLOAD_EXPIRED if it does, and its time is over.
        """
        if not self._signer.fits(link, signature):
            raise Forbidden(
                "The request is not what was signed",
                details={
                    "reason": "signature",
                    "issue": "method, path, query, Content-Type and Content-Length have to be "
                    "those that the upload was given",
                },
            )
        if self._clock() >= link.expires:
            raise _expired("The signed address is past its end")

    async def receive(self, link: Link, chunks: AsyncIterator[bytes]) -> Upload:
        """Take the object of a link that was checked.

        What was written of an object that is cut off is deleted at once.

        Args:
            link: What was signed.
            chunks: The content; ends early if the client goes away.

        Returns:
            The upload with its object.

        Raises:
            DeadlineExceeded: If nothing comes for 30 seconds, or the margin after the address's
                end is nearly over.
            TidegateError: UPLOAD_CONFLICT, UPLOAD_EXPIRED, UPLOADS_UNAVAILABLE; OBJECT_UNUSABLE if
                the size or the digest is another.
        """
        writer = secrets.token_hex(8)
        await self._take(link.upload_id, writer)
        try:
            upload = await self._records.find(link.upload_id)
            if upload is None:
                raise _expired("The upload was deleted")
            found = await self._write(upload, link, writer, chunks)
        finally:
            await self._records.hold(link.upload_id, writer, 0)
        done = None
        if await self._records.complete(upload.id, found) != "gone":
            done = await self._records.find(upload.id)
        if done is None:
            await self._folder.delete(upload.tenant, upload.id)
            raise _expired("The upload was deleted")
        return done

    async def _write(
        self, upload: Upload, link: Link, writer: str, chunks: AsyncIterator[bytes]
    ) -> Found:
        draft = await self._folder.draft(upload)
        try:
            left = link.expires + MARGIN_S - _LAST_S - self._clock()
            async with asyncio.timeout(left):
                await self._copy(draft, upload.id, writer, chunks)
            if draft.size != upload.size:
                raise _cut_off(upload.size, draft.size)
            return await draft.commit(upload.sha256)
        except TimeoutError:
            raise DeadlineExceeded("The object did not come in time") from None
        finally:
            await draft.discard()

    async def _copy(
        self, draft: Draft, upload_id: str, writer: str, chunks: AsyncIterator[bytes]
    ) -> None:
        renewed = time.monotonic()
        while True:
            async with asyncio.timeout(SILENCE_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            await draft.write(chunk)
            if time.monotonic() - renewed > HOLD_MS / 3000:
                renewed = time.monotonic()
                await self._take(upload_id, writer)

    async def _take(self, upload_id: str, writer: str) -> None:
        reply = await self._records.hold(upload_id, writer)
        if reply == "gone":
            raise _expired("The upload was deleted")
        if reply != "held":
            raise conflict()


def _expired(message: str) -> TidegateError:
    return TidegateError(message, code="UPLOAD_EXPIRED")


def _cut_off(size: int, received: int) -> TidegateError:
    return TidegateError(
        "The object was cut off",
        code="OBJECT_UNUSABLE",
        details={"reason": "It was cut off", "size": size, "received": received},
    )
