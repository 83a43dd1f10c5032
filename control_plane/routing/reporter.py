"""Writes to the limits server what a process noted beside its requests, twice a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from redis.exceptions import RedisError

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
WRITE_S: Final = 2.0
"""What one source's write may take before the server counts as away, seconds."""


class Source(Protocol):
    """What has notes to be written."""

    @property
    def pending(self) -> int:
        """Notes that wait to be written."""

    async def write(self) -> None:
        """Write the notes that wait and forget them, also if that fails.

        Raises:
            RedisError: If the server does not take them; so with OSError.
        """


class Reporter:
    """Runs beside the requests of a process.

    Nothing is lost on a clean stop, up to half a second of notes if the process is killed. What
    the server does not take within two seconds is dropped and counted: written again it might
    count twice.

    Attributes:
        lost: Notes that were dropped since the start.
    """

    def __init__(self, sources: Sequence[Source], every_s: float = EVERY_S) -> None:
        """Report, once started.

        Args:
            sources: Whose notes, written in this order.
            every_s: Seconds between two reports.
        """
        self.lost = 0
        self._sources = tuple(sources)
        self._every_s = every_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_away = False

    def start(self) -> None:
        """Begin to report."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Report a last time and end."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self.report()

    async def report(self) -> None:
        """Write what every source has."""
        fault = ""
        for source in self._sources:
            notes = source.pending
            if not notes:
                continue
            try:
                async with asyncio.timeout(WRITE_S):
                    await source.write()
            except (RedisError, OSError, TimeoutError) as error:
                self.lost += notes
                fault = type(error).__name__
        if fault and not self._is_away:
            log.warning("notes of rollouts and feedback are dropped", extra={"fault": fault})
        self._is_away = bool(fault)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._every_s):
                    await self._stopping.wait()
            except TimeoutError:
                await self.report()
