"""Hears that jobs can be claimed, and that one in hand is to be left; misses do no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.jobs import layout

log = logging.getLogger(__name__)

ANSWER_S: Final = 2.0
ASK_EVERY_S: Final = 1.0
"""A connection that was lost without a word is noticed within these two together, seconds."""
AGAIN_S: Final = 0.5


class Hearing:
    """One subscription to the two channels."""

    def __init__(
        self,
        records: redis.Redis,
        *,
        wake: Callable[[], None],
        stop: Callable[[str], None],
        missed: Callable[[], None],
    ) -> None:
        """Say who listens.

        Args:
            records: The system of record.
            wake: Told that jobs can be claimed.
            stop: Told the id of a job that has ended.
            missed: Told when a subscription begins, before which word may have been missed.
        """
        self._records = records
        self._wake = wake
        self._stop = stop
        self._missed = missed

    async def run(self) -> None:
        """Listen, and again after every failure, until cancelled."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("word of jobs is not heard", extra={"fault": type(error).__name__})
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._records.pubsub() as pubsub:
            async with asyncio.timeout(ANSWER_S):
                await pubsub.subscribe(layout.WAKE, layout.STOPS)
            asked_at, heard_at = 0.0, loop.time()
            while True:
                if loop.time() > asked_at + ASK_EVERY_S:
                    async with asyncio.timeout(ANSWER_S):
                        await pubsub.ping()
                    asked_at = loop.time()
                async with asyncio.timeout(ASK_EVERY_S + ANSWER_S):
                    message = await pubsub.get_message(timeout=ASK_EVERY_S)
                if message is not None:
                    heard_at = loop.time()
                    self._hear(message["type"], message["channel"], message["data"])
                elif loop.time() > heard_at + ASK_EVERY_S + ANSWER_S:
                    raise TimeoutError

    def _hear(self, kind: str, channel: bytes | None, data: object) -> None:
        """The client subscribes again by itself when its connection broke."""
        if kind == "subscribe":
            self._missed()
        elif kind == "message" and channel == layout.STOPS.encode():
            self._stop(data.decode() if isinstance(data, bytes) else str(data))
        elif kind == "message":
            self._wake()
