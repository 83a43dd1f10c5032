"""Uploads, from the signed address to what inputs read; also objects at https addresses."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from control_plane.egress.address import refused
from control_plane.errors import TidegateError
from control_plane.records.pages import Page
from control_plane.types import ObjectRule, OpenObject, PinnedObject
from control_plane.uploads import layout
from control_plane.uploads.records import UploadRecords
from control_plane.uploads.remote import RemoteObjects, check
from control_plane.uploads.shapes import Address, Contents, State, Upload, Wish
from control_plane.uploads.store import unusable


class Uploads:
    """The uploads of all tenants; an :class:`~control_plane.types.ObjectSource`."""

    def __init__(
        self,
        records: UploadRecords,
        contents: Contents,
        remote: RemoteObjects,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Serve uploads.

        Args:
            records: What is known of them.
            contents: Where their objects lie.
            remote: Objects elsewhere.
            max_bytes: Largest object.
            clock: Epoch seconds.
        """
        self._records = records
        self._contents = contents
        self._remote = remote
        self.max_bytes = max_bytes
        self._clock = clock

    async def make(self, tenant: str, wish: Wish) -> tuple[Upload, Address]:
        """Make an upload, and the address at which its object is to be put.

        Raises:
            TidegateError: PAYLOAD_TOO_LARGE, TOO_MANY_OPEN, UPLOADS_UNAVAILABLE.
        """
        if wish.size > self.max_bytes:
            raise TidegateError(
                f"The object is larger than {self.max_bytes} bytes",
                code="PAYLOAD_TOO_LARGE",
                details={"limit_bytes": self.max_bytes},
            )
        upload = await self._records.make(tenant, wish)
        return upload, await self._contents.address(upload)

    async def get(self, tenant: str, upload_id: str) -> Upload:
        """An upload of a tenant's, as it stands now.

        Raises:
            TidegateError: NOT_FOUND, UPLOADS_UNAVAILABLE.
        """
        return self._seen(await self._settled(await self._own(tenant, upload_id)))

    async def page(self, tenant: str, after: str | None, limit: int) -> Page[Upload]:
        """Uploads of a tenant, the latest first, as they stood when somebody last looked.

        Raises:
            TidegateError: INVALID_PARAMETER, UPLOADS_UNAVAILABLE.
        """
        page = await self._records.page(tenant, after, limit)
        return Page([self._seen(each) for each in page.items], page.next)

    async def delete(self, tenant: str, upload_id: str) -> None:
        """Delete an upload and its object, whatever uses it.

        Raises:
            TidegateError: NOT_FOUND, UPLOADS_UNAVAILABLE; then it is deleted later.
        """
        upload = await self._own(tenant, upload_id)
        if await self._records.remove(tenant, upload.id, "begin"):
            await self._contents.delete(tenant, upload.id)
            await self._records.remove(tenant, upload.id, "end")

    async def pin(self, tenant: str, url: str, rule: ObjectRule) -> PinnedObject:
        """Look at an object of a tenant's, or at an address that may be fetched.

        An uploaded object counts as used from now on.

        Raises:
            TidegateError: OBJECT_UNUSABLE, the same for what is not there and what is another
                tenant's; ADDRESS_REFUSED, UPLOADS_UNAVAILABLE.
        """
        if not url.startswith("tidegate:"):
            return await self._remote.pin(url, rule)
        upload = await self._complete(tenant, url)
        check(upload.media_type, upload.size, rule)
        return PinnedObject(url, upload.media_type, upload.size, upload.pin)

    @asynccontextmanager
    async def open(self, tenant: str, pinned: PinnedObject) -> AsyncIterator[OpenObject]:
        """Read what was pinned; an uploaded object counts as used again.

        Raises:
            TidegateError: OBJECT_UNUSABLE if it is not what was pinned any more,
                UPLOADS_UNAVAILABLE.
        """
        if not pinned.url.startswith("tidegate:"):
            async with self._remote.open(pinned) as reader:
                yield reader
            return
        upload = await self._complete(tenant, pinned.url)
        async with self._contents.open(upload, pinned.pin) as reader:
            yield reader

    async def _complete(self, tenant: str, url: str) -> Upload:
        """An upload whose object is there, marked as used."""
        upload_id = layout.id_of(url)
        if upload_id is None:
            raise refused(f"is no object here: {layout.SCHEME}upl_…")
        upload = await self._records.find(upload_id)
        if upload is None or upload.tenant != tenant:
            raise unusable("It is not there")
        upload = await self._settled(upload)
        if upload.state is not State.COMPLETE:
            raise unusable("It is not complete")
        if await self._records.use(upload.id) != "done":
            raise unusable("It is not there")
        return upload

    async def _own(self, tenant: str, upload_id: str) -> Upload:
        upload = await self._records.find(upload_id)
        if upload is None or upload.tenant != tenant:
            raise TidegateError("There is no such upload", code="NOT_FOUND")
        return upload

    async def _settled(self, upload: Upload) -> Upload:
        """An upload, completed if its object has come meanwhile and is what was signed."""
        if upload.state is not State.WAITING:
            return upload
        found = await self._contents.look(upload)
        if found is None or found.size != upload.size or not found.pin:
            return upload
        if found.media_type not in {"", upload.media_type}:
            return upload
        await self._records.complete(upload.id, found)
        return await self._records.find(upload.id) or upload

    def _seen(self, upload: Upload) -> Upload:
        """An upload as its tenant sees it."""
        is_over = upload.expires_ms <= self._clock() * 1000
        if upload.state is State.WAITING and is_over:
            return msgspec.structs.replace(upload, state=State.EXPIRED)
        return upload
