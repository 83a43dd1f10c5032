"""One attempt at a job from its claim to word of how it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from control_plane.errors import TidegateError
from control_plane.jobs.shapes import End, Hold, State
from control_plane.jobs.work.ends import Ends
from control_plane.jobs.work.executor import Executor, Failed
from control_plane.jobs.work.failures import delay_ms, may_pass
from control_plane.jobs.work.holds import Held, Holds
from control_plane.jobs.work.results import Results
from control_plane.jobs.work.tasks import Done
from control_plane.problem import envelope
from control_plane.telemetry.job_metrics import JobMetrics

log = logging.getLogger(__name__)


class Attempts:
    """Works on what a worker holds."""

    def __init__(
        self,
        executor: Executor,
        results: Results,
        holds: Holds,
        ends: Ends,
        metrics: JobMetrics,
        *,
        attempts: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Compose the steps.

        Args:
            executor: Does the work.
            results: Keeps what comes of it.
            holds: Gives signs of life.
            ends: Tells how it ended.
            metrics: Where attempts are counted.
            attempts: How often a job is tried.
            clock: Epoch seconds.
        """
        self._executor = executor
        self._results = results
        self._holds = holds
        self._ends = ends
        self._metrics = metrics
        self._attempts = attempts
        self._clock = clock

    async def work(self, held: Held) -> None:
        """Work on a job until its end is told, it is lost, or this is cancelled.

        Cancelled by anyone but :meth:`Held.lose`, the job is still held: to be handed back.
        """
        job = held.claim.job
        if job.attempts == 1:
            begun_s = (job.started_ms - max(job.created_ms, job.start_at_ms)) / 1000
            self._metrics.started(job.model, begun_s)
        outcome = "abandoned"
        try:
            report = partial(self._holds.progress, held)
            came = await self._executor.attempt(held.claim, report)
            outcome = await self._tell(held, came)
        except TimeoutError:
            log.error("the end of a job could not be told", extra={"job": job.id})  # noqa: TRY400 - said by itself
        except asyncio.CancelledError:
            if not held.is_lost:
                outcome = "handed_back"
                raise
        finally:
            self._holds.remove(held)
            self._metrics.attempted(job.task, job.model, outcome)
        if outcome in {"completed", "failed"}:
            self._metrics.ended(job.task, job.model, self._clock() - job.created_ms / 1000)

    async def _tell(self, held: Held, came: Done | Failed) -> str:
        if isinstance(came, Failed):
            return await self._fail(held, came)
        try:
            kept = await self._results.keep(held.claim.job.tenant, held.hold, came.body)
        except TidegateError as error:
            return await self._fail(held, Failed(error, ""))
        held.is_ending = True
        is_ours = await self._ends.finish(
            End(
                hold=held.hold,
                state=State.COMPLETED,
                result=kept.sealed,
                refund=came.refund,
                object_key=kept.object_key,
            )
        )
        if not is_ours:
            await self._results.drop(kept.object_key)
        return "completed" if is_ours else "abandoned"

    async def _fail(self, held: Held, failed: Failed) -> str:
        job, error = held.claim.job, failed.error
        held.is_ending = True
        ended = self._failure(held.hold, failed, job.units)
        if not may_pass(error):
            return "failed" if await self._ends.finish(ended) else "abandoned"
        is_last = job.attempts >= self._attempts
        extra = {"job": job.id, "code": error.code, "attempt": job.attempts, "last": is_last}
        log.info("an attempt at a job failed", extra=extra)
        if not await self._ends.retry(held.hold, ended, delay_ms(error, job.attempts)):
            return "abandoned"
        return "failed" if is_last else "retried"

    def _failure(self, hold: Hold, failed: Failed, units: int) -> End:
        return End(
            hold=hold,
            state=State.FAILED,
            result=self._results.seal(hold.id, envelope(failed.error, failed.request_id)),
            refund=units,
            error_code=failed.error.code,
        )
