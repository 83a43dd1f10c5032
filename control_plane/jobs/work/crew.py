"""One worker: its slots, signs of life, what it hears and sweeps, and its clean stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio as redis

from control_plane.jobs.shapes import Size
from control_plane.jobs.store import JobStore
from control_plane.jobs.work.attempts import Attempts
from control_plane.jobs.work.ends import Ends
from control_plane.jobs.work.executor import Executor
from control_plane.jobs.work.hearing import Hearing
from control_plane.jobs.work.holds import Holds
from control_plane.jobs.work.results import Results
from control_plane.jobs.work.runner import Runner
from control_plane.jobs.work.sweeper import Sweeper
from control_plane.setting_groups import JobSettings
from control_plane.tasks import end
from control_plane.telemetry.job_metrics import JobMetrics

log = logging.getLogger(__name__)

GAUGE_S: Final = 1.0


class Crew:
    """Everything in one process that jobs need to be worked on."""

    def __init__(
        self,
        name: str,
        records: redis.Redis,
        settings: JobSettings,
        *,
        executor: Executor,
        results: Results,
        metrics: JobMetrics,
    ) -> None:
        """Compose it; nothing is claimed before :meth:`start`.

        Args:
            name: Of this worker, unique, 64 characters at most.
            records: The system of record.
            settings: Of jobs.
            executor: Does the work.
            results: Keeps what comes of it.
            metrics: Where jobs are counted.
        """
        self._name = name
        self._grace_s = settings.grace_s
        self._metrics = metrics
        store = JobStore(records, settings)
        self._holds = Holds(store, settings.lease_s)
        self._ends = Ends(store, settings.lease_s)
        self._sweeper = Sweeper(store, results.delete, metrics)
        attempts = Attempts(
            executor, results, self._holds, self._ends, metrics, attempts=settings.attempts
        )
        slots = {Size.SHORT: settings.short_slots, Size.LONG: settings.long_slots}
        self._runners = [
            Runner(
                size,
                count,
                worker=name,
                store=store,
                holds=self._holds,
                work=attempts.work,
                is_able=executor.is_able,
            )
            for size, count in slots.items()
        ]
        self._hearing = Hearing(
            records, wake=self._wake, stop=self._holds.stop, missed=self._missed
        )
        self._beside: list[asyncio.Task[None]] = []
        self._claiming: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to claim."""
        loop = asyncio.get_running_loop()
        beside = (self._holds.beat(), self._hearing.run(), self._sweeper.run(), self._measure())
        self._beside = [loop.create_task(work) for work in beside]
        self._claiming = [loop.create_task(runner.run()) for runner in self._runners]
        log.info("working on jobs", extra={"job_worker": self._name})

    async def close(self) -> None:
        """Claim no more, let jobs finish within the grace, hand back the others, end the rest."""
        for runner in self._runners:
            runner.stop()
        if self._claiming:  # a claim under way has a short time of its own; its jobs are ours
            await asyncio.wait(self._claiming)
        left = await asyncio.gather(*[runner.settle(self._grace_s) for runner in self._runners])
        holds = [hold for part in left for hold in part]
        if holds:
            await self._ends.hand_back(holds)
        await self._ends.close()
        await end(self._beside)
        for runner in self._runners:
            self._metrics.held(runner.size, 0)
        extra = {"job_worker": self._name, "handed_back": len(holds)}
        log.info("working on jobs no more", extra=extra)

    def _wake(self) -> None:
        for runner in self._runners:
            runner.wake()

    def _missed(self) -> None:
        self._wake()
        self._holds.ask_again()

    async def _measure(self) -> None:
        while True:
            for runner in self._runners:
                self._metrics.held(runner.size, runner.held)
            await asyncio.sleep(GAUGE_S)


@asynccontextmanager
async def at_work(crew: Crew) -> AsyncIterator[Crew]:
    """Start a crew, and close it at the end."""
    try:
        crew.start()
        yield crew
    finally:
        await crew.close()
