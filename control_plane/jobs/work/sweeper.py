"""Does what is due by the clock, for all workers: lapsed leases, delays, expiries, forgetting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from control_plane.errors import TidegateError
from control_plane.jobs.store import JobStore
from control_plane.telemetry.job_metrics import JobMetrics

log = logging.getLogger(__name__)

ROUND_S: Final = 0.5
FORGET_EVERY_S: Final = 5.0
FORGET_MOST: Final = 200


class Sweeper:
    """Sweeps in each worker; the scripts do each thing once, however many sweep."""

    def __init__(
        self, store: JobStore, drop: Callable[[str], Awaitable[None]], metrics: JobMetrics
    ) -> None:
        """Sweep, once started.

        Args:
            store: Where jobs lie.
            drop: Deletes a result from the object store.
            metrics: Told what was done.
        """
        self._store = store
        self._drop = drop
        self._metrics = metrics

    async def run(self) -> None:
        """Sweep every half second until cancelled."""
        loop = asyncio.get_running_loop()
        forget_at = 0.0
        while True:
            try:
                await self.sweep()
                if loop.time() >= forget_at:
                    forget_at = loop.time() + FORGET_EVERY_S
                    await self.forget()
                    await self._measure()
            except TidegateError as error:
                log.warning("jobs are not swept now", extra={"fault": error.code})
            except Exception:
                log.exception("jobs are not swept now")
            await asyncio.sleep(ROUND_S)

    async def _measure(self) -> None:
        depth = await self._store.depth()
        waiting = {
            (str(size), priority.name.lower()): count
            for (size, priority), count in depth.waiting.items()
        }
        self._metrics.waiting(waiting, depth.delayed)

    async def sweep(self) -> None:
        """One round: all that is due now.

        Raises:
            TidegateError: JOBS_UNAVAILABLE.
        """
        swept = await self._store.sweep()
        self._metrics.swept(swept.expired, swept.lost, swept.failed)

    async def forget(self) -> None:
        """Forget jobs that were kept long enough, their objects first.

        Raises:
            TidegateError: JOBS_UNAVAILABLE.
        """
        is_full = True
        while is_full:
            due = await self._store.forgettable(FORGET_MOST)
            for job in due:
                await self._drop(job.object_key)
            self._metrics.forgotten(await self._store.forget([job.id for job in due]))
            is_full = len(due) == FORGET_MOST
