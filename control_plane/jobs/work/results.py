"""Where results go: sealed with the job, or sealed into the object store if they are large."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from msgspec import Struct

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.shapes import Hold
from control_plane.sealing import Sealer

log = logging.getLogger(__name__)


class Objects(Protocol):
    """What is needed of the object store."""

    async def put(self, key: str, data: bytes) -> None:
        """Write an object."""

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good as deleted."""


class Placed(Struct, frozen=True):
    """Where a result is: one of the two is empty.

    Attributes:
        sealed: The result itself.
        object_key: Its place in the object store, where it lies sealed.
    """

    sealed: str
    object_key: str


class Results:
    """Seals results and finds the place for them."""

    def __init__(self, sealer: Sealer, objects: Objects, inline_bytes: int) -> None:
        """Keep results.

        Args:
            sealer: Of the data key.
            objects: Takes the large ones.
            inline_bytes: Largest result that stays with its job.
        """
        self._sealer = sealer
        self._objects = objects
        self._inline_bytes = inline_bytes

    def seal(self, job_id: str, body: bytes) -> str:
        """What is kept with the job."""
        return self._sealer.seal(body, layout.result_place(job_id))

    async def keep(self, tenant: str, hold: Hold, body: bytes) -> Placed:
        """Keep a result before its job ends with it.

        The fence is part of the key, so that a worker whose job went to another while it was
        stopped overwrites nothing.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        if len(body) <= self._inline_bytes:
            return Placed(self.seal(hold.id, body), "")
        key = f"results/{tenant}/{hold.id}/{hold.fence}"
        sealed = await asyncio.to_thread(self.seal, hold.id, body)
        await self._objects.put(key, sealed.encode())
        return Placed("", key)

    async def delete(self, key: str) -> None:
        """Delete an object of a job that is to be forgotten; an empty key is none.

        Raises:
            TidegateError: UPLOADS_UNAVAILABLE.
        """
        if key:
            await self._objects.delete(key)

    async def drop(self, key: str) -> None:
        """Delete an object that no job refers to; if that fails, it goes as a stray later."""
        try:
            await self.delete(key)
        except TidegateError as error:
            log.warning("an object was left behind", extra={"fault": error.code})
