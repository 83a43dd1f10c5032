"""Deletes what is never used: uploads that never came, objects that nothing names, strays.

A stray is an object without a record: what a process wrote when it was killed before it could say
so, or while somebody deleted the record. All objects are looked through once an hour, and those
without a record that are older than any upload can be are deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.errors import TidegateError
from control_plane.records.lease import Lease
from control_plane.uploads import layout
from control_plane.uploads.folder import PARTIAL
from control_plane.uploads.records import UploadRecords
from control_plane.uploads.shapes import MARGIN_S, Contents
from control_plane.uploads.store import Listed, ObjectStore

log = logging.getLogger(__name__)

ROUND_S: Final = 5.0
LEASE_MS: Final = 60_000
LOOK_S: Final = 3600.0
"""Seconds from the end of one look through all objects to the next."""
BATCH: Final = 100
"""Uploads that are deleted between two looks at the lease."""
_FAILURES: Final = 3

Known = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Those of some ids that have a record."""


class Lifecycle:
    """Deletes, in the worker; of several one at a time does it."""

    def __init__(
        self,
        server: redis.Redis,
        records: UploadRecords,
        objects: ObjectStore,
        contents: Contents,
        *,
        link_s: int,
        jobs: Known,
    ) -> None:
        """Delete, once started.

        Args:
            server: The system of record; keeps the lease.
            records: Of the uploads.
            objects: All objects.
            contents: Those of the uploads.
            link_s: Seconds that a signed address is good for.
            jobs: Which jobs have a record; results of others are strays.
        """
        self._records = records
        self._objects = objects
        self._contents = contents
        self._lease = Lease(server, layout.LIFECYCLE, LEASE_MS)
        self._oldest = timedelta(seconds=link_s + 2 * MARGIN_S)
        self._known: Mapping[str, Known] = {
            layout.UPLOADS: records.known,
            PARTIAL: records.known,
            layout.RESULTS: jobs,
        }

    async def run(self) -> None:
        """Delete until cancelled; another process may then go on at once."""
        look = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.sleep(ROUND_S)
                try:
                    if not await self._lease.take():
                        continue
                    while await self.due() == BATCH:
                        await self._lease.take()
                    if asyncio.get_running_loop().time() >= look:
                        await self.strays(datetime.now(UTC))
                        look = asyncio.get_running_loop().time() + LOOK_S
                except (RedisError, OSError, TidegateError) as error:
                    log.warning("nothing is deleted now", extra={"fault": type(error).__name__})
                except Exception:
                    log.exception("nothing is deleted now")
        finally:
            await self._lease.give_up()

    async def due(self) -> int:
        """Delete a hundred uploads at most whose time has come: the object first.

        One that cannot be deleted is tried again a minute later, and holds up no other.

        Returns:
            How many were deleted.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE, if several in a row cannot be deleted.
        """
        deleted = failed = 0
        for tenant, upload_id in await self._records.due(BATCH):
            if not await self._records.remove(tenant, upload_id, "due"):
                continue
            try:
                await self._contents.delete(tenant, upload_id)
            except TidegateError:
                failed += 1
                if failed == _FAILURES:
                    raise
                continue
            failed = 0
            deleted += await self._records.remove(tenant, upload_id, "end")
        return deleted

    async def strays(self, now: datetime) -> int:
        """Look through all objects once and delete the strays.

        Args:
            now: The time, UTC.

        Returns:
            How many objects were deleted.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        deleted = 0
        for prefix, known in self._known.items():
            async for page in self._objects.listed(prefix):
                old = [each for each in page if now - each.modified > self._oldest]
                deleted += await self._delete_strays(prefix, old, known)
                await self._lease.take()
        return deleted

    async def _delete_strays(self, prefix: str, old: list[Listed], known: Known) -> int:
        named = {each.key: _id(each.key) for each in old}
        kept = await known([*named.values()]) if named else set()
        strays = [key for key, name in named.items() if name not in kept]
        for key in strays:
            if prefix == layout.RESULTS:
                await self._objects.delete(key)
            else:
                await self._contents.delete(_tenant(key), named[key])
        if strays:
            log.info("objects without a record were deleted", extra={"objects": len(strays)})
        return len(strays)


def _id(key: str) -> str:
    """The id in a key: ``uploads/<tenant>/<id>[/…]``, ``partial/<id>.<random>/…``."""
    parts = key.split("/")
    return parts[1].partition(".")[0] if parts[0] == PARTIAL else "".join(parts[2:3])


def _tenant(key: str) -> str:
    parts = key.split("/")
    return "" if parts[0] == PARTIAL else parts[1]
