"""Hears of the changes of jobs that somebody in this process waits for.

One connection a process, subscribed to the channels of those jobs only. Who waits is woken by a
change, and whenever one may have been missed: as a subscription begins, and begins again after
the connection broke. What is heard is never believed: who is woken reads the job.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.jobs import layout
from control_plane.tasks import end

log = logging.getLogger(__name__)

PULSE_S: Final = 1.0
"""How often a silent connection is asked for a sign of life."""
SILENT_S: Final = 3.0
"""Silence after which a connection counts as broken."""
RETRY_S: Final = 0.25
_CONFIRMED: Final = {b"message", b"subscribe"}


class JobChanges:
    """The subscription of one process, for as long as :meth:`follow` runs."""

    def __init__(self, server: redis.Redis) -> None:
        """Hear nothing yet.

        Args:
            server: Keeps the jobs.
        """
        self._server = server
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._to_say: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._heard_at = -math.inf
        self._lost = False

    @contextmanager
    def heard(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever a job may have changed; who is woken clears it."""
        channel, event = layout.change(job_id), asyncio.Event()
        waiting = self._waiting.setdefault(channel, set())
        if not waiting:
            self._to_say.put_nowait(("SUBSCRIBE", channel))
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                del self._waiting[channel]
                self._to_say.put_nowait(("UNSUBSCRIBE", channel))

    async def follow(self) -> None:
        """Connect, and connect again after every failure, until cancelled."""
        while True:
            try:
                await self._connected()
            except (RedisError, OSError, TimeoutError) as error:
                if not self._lost:
                    fault = type(error).__name__
                    log.warning("changes of jobs are not heard", extra={"fault": fault})
                self._lost = True
            await asyncio.sleep(RETRY_S)

    async def _connected(self) -> None:
        pool: Any = self._server.connection_pool
        async with asyncio.timeout(SILENT_S):
            connection = await pool.get_connection()
        self._to_say = asyncio.Queue()
        for channel in self._waiting:
            self._to_say.put_nowait(("SUBSCRIBE", channel))
        self._heard_at = monotonic()
        halves = [
            asyncio.create_task(self._listen(connection)),
            asyncio.create_task(self._speak(connection)),
        ]
        try:
            ended, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in ended:
                half.result()
        finally:
            await end(halves)
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def _listen(self, connection: Any) -> None:
        while True:
            reply = await connection.read_response(timeout=math.inf, push_request=True)
            self._heard_at = monotonic()
            self._lost = False
            if isinstance(reply, list) and len(reply) == 3 and bytes(reply[0]) in _CONFIRMED:
                for event in self._waiting.get(reply[1].decode(), ()):
                    event.set()

    async def _speak(self, connection: Any) -> None:
        """Say what is to be said, and prove at times that somebody is there."""
        while True:
            words: tuple[str, ...] = ("PING",)
            try:
                async with asyncio.timeout(PULSE_S):
                    words = await self._to_say.get()
            except TimeoutError:
                if monotonic() > self._heard_at + SILENT_S:
                    raise
            async with asyncio.timeout(SILENT_S):
                await connection.send_command(*words)
