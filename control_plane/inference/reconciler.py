"""Keeps every Triton's models as they are wanted: loads, tries again, and unloads.

It compares what a server has with what is wanted, round after round, and remembers no orders: a
server that was started again, or changed by somebody else, is put right in the next round.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from control_plane.inference.backend import InferenceBackend
from control_plane.inference.backoff import Backoff
from control_plane.inference.keeper import Keeper, ModelReport
from control_plane.inference.target import Target

log = logging.getLogger(__name__)


class Reconciler:
    """Brings several servers to one target and keeps them there."""

    def __init__(
        self,
        backends: Sequence[InferenceBackend],
        target: Callable[[], Target],
        *,
        interval_s: float = 5.0,
        timeout_s: float = 5.0,
        linger_s: float = 60.0,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Do nothing yet; see :meth:`run`.

        Args:
            backends: The servers; they stay the caller's to close.
            target: Asked in every round of every server.
            interval_s: Seconds between two rounds, more than 0.
            timeout_s: Seconds that a server has to say what it has and to take note of an unload.
            linger_s: Seconds that a model stays after it is wanted no more, so that requests that
                were sent to it, or wait for it, are answered.
            backoff: When a model that failed is tried again.
            clock: Seconds from any start.
        """
        self._target = target
        self._interval_s = interval_s
        self._keepers = [
            Keeper(backend, timeout_s, linger_s, backoff or Backoff(), clock)
            for backend in backends
        ]

    async def run(self) -> None:
        """Reconcile all servers, each in its own rounds, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in self._keepers:
                    group.create_task(self._watch(keeper))
        finally:
            await self.close()

    async def round(self) -> None:
        """Look at every server once and begin what it needs; loading goes on afterwards."""
        target = self._target()
        await asyncio.gather(*[keeper.round(target) for keeper in self._keepers])

    async def settle(self) -> None:
        """Wait until all loading and unloading that was begun has ended."""
        await asyncio.gather(*[keeper.settle() for keeper in self._keepers])

    def wake(self) -> None:
        """Begin the next round of :meth:`run` at once, as after a change of what is wanted."""
        for keeper in self._keepers:
            keeper.woken.set()

    def again(self, model: str) -> None:
        """Load a wanted model at once, whether it is ready or not, and forget its failures.

        For files that changed; versions that are ready go on answering meanwhile.
        """
        for keeper in self._keepers:
            keeper.again(model)
        self.wake()

    def report(self) -> list[ModelReport]:
        """How far each wanted model is on each server, by the latest rounds."""
        target = self._target()
        return [
            keeper.report(model, versions)
            for keeper in self._keepers
            for model, versions in sorted(target.wanted.items())
        ]

    async def close(self) -> None:
        """Give up what was begun; a server goes on with what it was told."""
        await asyncio.gather(*[keeper.close() for keeper in self._keepers])

    async def _watch(self, keeper: Keeper) -> None:
        while True:
            try:
                await keeper.round(self._target())
            except Exception:
                log.exception("reconciling failed", extra={"triton": keeper.name})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await keeper.woken.wait()
