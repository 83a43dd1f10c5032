"""What the clock asks for: leases that lapse, jobs that expire, delays, and what is forgotten."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from control_plane.jobs import layout
from control_plane.jobs.queries import kept_of
from control_plane.jobs.replies import Forgettable, Swept
from control_plane.jobs.scripts import MOST, parts
from control_plane.jobs.shapes import Submission
from control_plane.jobs.steps import Steps
from control_plane.setting_groups import JobSettings

log = logging.getLogger(__name__)

BACKOFF_MS: Final = 250
"""Wait of a job after it was lost with a worker, milliseconds; four times longer each time."""

LONGEST_MS: Final = 4_000
"""Longest such wait, milliseconds."""


class Upkeep:
    """Sweeps; any number of processes may, as often as they like."""

    def __init__(self, steps: Steps, settings: JobSettings) -> None:
        """Keep jobs on a server.

        Args:
            steps: Its scripts and reads.
            settings: Attempts, and how long ended jobs are kept.
        """
        self._steps = steps
        self._input = {
            "most": MOST,
            "attempts": settings.attempts,
            "backoff_ms": BACKOFF_MS,
            "longest_ms": LONGEST_MS,
            "kept_ms": settings.kept_s * 1000,
        }

    async def give_back(self, submissions: Sequence[Submission]) -> None:
        """Have the price of submissions refunded that never became jobs."""

        async def step() -> None:
            async with self._steps.server.pipeline(transaction=True) as pipe:
                for submission in submissions:
                    entry = {
                        "job": submission.id,
                        "tenant": submission.tenant,
                        "client": submission.client,
                        "model": submission.model,
                        "version": submission.version,
                        "units": submission.units,
                    }
                    pipe.xadd(layout.REFUNDS, entry)
                await pipe.execute()

        await self._steps.again(step)

    async def sweep(self) -> Swept:
        """Do all that is due now.

        Raises:
            TidegateError: JOBS_UNAVAILABLE; so do all methods.
        """
        total = Swept()
        lost: Counter[str] = Counter()
        is_full = True
        while is_full:
            *counts, workers = await self._steps.move("sweep", self._input)
            expired, again, failed, ripe = counts
            total = Swept(
                total.expired + expired, total.lost + again, total.failed + failed,
                total.ripe + ripe,
            )  # fmt: skip
            lost.update(name.decode() for name in workers)
            is_full = max(expired, again + failed, ripe) >= MOST
        for worker, count in lost.items():
            log.warning("a worker gave no sign", extra={"job_worker": worker, "jobs": count})
        return total

    async def forgettable(self, limit: int) -> list[Forgettable]:
        """Jobs that were kept long enough, those that ended first before others.

        Args:
            limit: How many at most, 200 for one call of :meth:`forget`.
        """
        server = self._steps.server

        async def step() -> list[Any]:
            seconds, micros = await server.time()
            now = seconds * 1000 + micros // 1000
            ids: list[bytes] = await server.zrangebyscore(layout.KEPT, 0, now, start=0, num=limit)
            keys = [layout.result(job_id.decode()) for job_id in ids]
            return list(zip(ids, await server.mget(keys) if keys else [], strict=True))

        return [
            Forgettable(job_id.decode(), "" if stored is None else kept_of(stored).object_key)
            for job_id, stored in await self._steps.again(step)
        ]

    async def forget(self, ids: Sequence[str]) -> int:
        """Remove every trace of jobs that were kept long enough; how many."""
        count = 0
        for part in parts(ids):
            count += await self._steps.move("forget", {"ids": part})
        return count
