"""Tells the ends of jobs: many in one call, and again while the server is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from control_plane.coalesce import Coalescer
from control_plane.errors import TidegateError
from control_plane.jobs.shapes import End, Hold
from control_plane.jobs.store import JobStore

log = logging.getLogger(__name__)

GIVE_UP_S: Final = 120.0
"""How long an end is told again beyond the lease, seconds. As long as the server is away nobody
else can take the job, and the fence decides when it is back."""
AGAIN_S: Final = 0.25
MAX_CALL: Final = 64
MAX_WAITING: Final = 8192
RETRIES_AT_ONCE: Final = 16
"""Each has a connection of its own: when a model goes away, everything in hand fails at one moment,
and signs of life need connections, too."""

_T = TypeVar("_T")


class Ends:
    """Ends of one worker's jobs."""

    def __init__(self, store: JobStore, lease_s: float) -> None:
        """Tell a store; several ends share a call, and a write to its disk.

        Args:
            store: Keeps the jobs.
            lease_s: Of a claim, seconds.
        """
        self._store = store
        self._patience_s = lease_s + GIVE_UP_S
        self._loop = asyncio.get_running_loop()
        self._retrying = asyncio.Semaphore(RETRIES_AT_ONCE)
        self._coalescer: Coalescer[End, bool] = Coalescer(
            self._run, max_batch=MAX_CALL, slots=1, max_waiting=MAX_WAITING, abandon=False
        )

    async def finish(self, end: End) -> bool:
        """End a job; False if it was not ours any more.

        Raises:
            TimeoutError: If the server stayed away for too long.
        """
        deadline = self._loop.time() + self._patience_s
        return await self._coalescer.wait(self._coalescer.enter(end, "finish", deadline))

    async def retry(self, hold: Hold, failure: End, delay_ms: int) -> bool:
        """Have a job tried again, or failed after its last attempt; False if it was not ours.

        Raises:
            TimeoutError: If the server stayed away for too long.
        """
        deadline = self._loop.time() + self._patience_s

        async def step() -> bool:
            return await self._store.retry(hold, failure, delay_ms)

        async with self._retrying:
            return await self._until_answered(step, deadline)

    async def hand_back(self, holds: list[Hold]) -> None:
        """Give jobs back; while the server is away their leases run out instead."""
        try:
            await self._store.hand_back(holds)
        except TidegateError as error:
            extra = {"fault": error.code, "jobs": len(holds)}
            log.warning("jobs were not handed back: their leases run out", extra=extra)

    async def close(self) -> None:
        """Take no more, and end what is on its way."""
        await self._coalescer.close(0.0)

    async def _run(self, ends: list[End], deadline: float) -> list[bool]:
        return await self._until_answered(lambda: self._store.finish(ends), deadline)

    async def _until_answered(self, step: Callable[[], Awaitable[_T]], deadline: float) -> _T:
        """Take a step again until the server answers: its fence makes that harmless."""
        while True:
            try:
                return await step()
            except TidegateError as error:
                if self._loop.time() >= deadline:
                    raise TimeoutError from error
                log.warning("an end cannot be told now", extra={"fault": error.code})
            await asyncio.sleep(AGAIN_S)
