"""Hands what this process saw to the limits server, once a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from redis.exceptions import RedisError

from control_plane.admission.abuse.sightings import Sightings
from control_plane.admission.abuse.watch import Watch

EVERY_S: Final = 1.0
STUDY_S: Final = 0.005
"""CPU time for looking at inputs in each second."""

_log: Final = logging.getLogger(__name__)


class Reporter:
    """Runs beside the requests of a process.

    Up to a second of what was seen is lost if the process is killed, nothing on a clean stop. What
    a server that is away does not take is kept and told later, as far as memory is bounded; it is
    told twice if only the reply was lost.
    """

    def __init__(
        self, watch: Watch, sightings: Sightings, clock: Callable[[], float] = time.time
    ) -> None:
        """Report, once started, for a watch.

        Args:
            watch: Of this process.
            sightings: Where to.
            clock: Epoch seconds.
        """
        self._watch = watch
        self._sightings = sightings
        self._clock = clock
        self._away = False
        self._unwatched = 0

    async def run(self) -> None:
        """Report every second until cancelled, and a last time then."""
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                await self.report()
        finally:
            await self.report()

    async def report(self) -> None:
        """Report what was seen since the last time."""
        minute = int(self._clock() // 60)
        batch = self._watch.take(minute)
        for _ in self._watch.study(batch, STUDY_S):
            await asyncio.sleep(0)
        try:
            await self._sightings.write(batch.seen(), batch.spreads(), minute)
        except (RedisError, OSError) as error:
            self._watch.give_back(batch)
            if not self._away:
                _log.warning("abuse watch: limits server away: %s", type(error).__name__)
            self._away = True
        else:
            self._away = False
        if self._watch.overflow > self._unwatched:
            _log.warning(
                "abuse watch: too many clients, %d requests not watched",
                self._watch.overflow - self._unwatched,
            )
            self._unwatched = self._watch.overflow
