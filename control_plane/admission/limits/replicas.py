"""How many processes share the limits: each says every few seconds that it is there."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from typing import Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.admission import layout

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0
GONE_S: Final = 10.0
"""A process that was silent for so long, in seconds, is gone."""


class Replicas:
    """Counts the processes that admit calls.

    Attributes:
        count: As it was last known; at least 1.
    """

    def __init__(self, limits: redis.Redis) -> None:
        """Take a client of the limits server."""
        self.count = 1
        self._limits = limits
        self._name = secrets.token_hex(8)

    async def follow(self) -> None:
        """Say so and count, until cancelled; then withdraw."""
        try:
            while True:
                with suppress(RedisError, OSError, TimeoutError):
                    await self.tell(time.time())
                await asyncio.sleep(EVERY_S)
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                await self._limits.zrem(layout.PROCESSES, self._name)

    async def tell(self, now: float) -> None:
        """Say at an epoch second that this process is there, and count."""
        async with self._limits.pipeline(transaction=True) as pipe:
            pipe.zadd(layout.PROCESSES, {self._name: now})
            pipe.zremrangebyscore(layout.PROCESSES, "-inf", now - 60 * GONE_S)
            pipe.zcount(layout.PROCESSES, now - GONE_S, "+inf")
            replies = await pipe.execute()
        self.count = max(1, int(replies[-1]))
