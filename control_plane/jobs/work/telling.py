"""What webhooks tell of a job that has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from control_plane.coalesce import Coalescer
from control_plane.jobs import layout
from control_plane.jobs.shapes import Job
from control_plane.jobs.steps import unavailable
from control_plane.jobs.store import JobStore
from control_plane.sealing import Sealer, Unsealable
from control_plane.webhooks.shapes import Told

log = logging.getLogger(__name__)

MAX_CALL: Final = 64
MAX_WAITING: Final = 1024
READ_S: Final = 5.0
"""What looking a job up may take, seconds."""

_Found = tuple[Job, str | None] | None


class Teller:
    """Looks up what is told of jobs; those that are asked for together are read together."""

    def __init__(self, store: JobStore, sealer: Sealer, view: Callable[[Job], Struct]) -> None:
        """Tell of the jobs of a store.

        Args:
            store: Has them.
            sealer: Opens the address that a job names itself.
            view: A job as the public API shows it.
        """
        self._store = store
        self._sealer = sealer
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._reads: Coalescer[str, _Found] = Coalescer(
            self._read, max_batch=MAX_CALL, slots=1, max_waiting=MAX_WAITING
        )

    async def tell(self, job_id: str) -> Told | None:
        """What is told of a job; None if it is not kept any more.

        Raises:
            TidegateError: JOBS_UNAVAILABLE.
        """
        deadline = self._loop.time() + READ_S
        try:
            found = await self._reads.wait(self._reads.enter(job_id, "read", deadline))
        except TimeoutError as error:
            raise unavailable("The server that keeps the jobs is away or full") from error
        if found is None:
            return None
        job, hook = found
        return Told(msgspec.to_builtins(self._view(job)), job.ended_ms, self._url(job_id, hook))

    async def _read(self, job_ids: list[str], _: float) -> list[_Found]:
        return await self._store.with_hooks(job_ids)

    def _url(self, job_id: str, sealed: str | None) -> str | None:
        if sealed is None:
            return None
        try:
            return self._sealer.unseal(sealed, layout.hook_place(job_id)).decode()
        except Unsealable:
            log.error("an address cannot be read: another data key?", extra={"job": job_id})  # noqa: TRY400 - no payload
            return None
