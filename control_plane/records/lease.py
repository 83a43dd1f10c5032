"""A lease: of several processes that could do some work, one at a time does it.

It only saves work and keeps hands apart most of the time. A process that stalls may act when its
lease has passed to another, so what it does has to be safe all the same: a change that is made at
the revision it was decided on.
"""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Final

import redis.asyncio as redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

_SCRIPT: Final = Path(__file__).with_name("lease.lua").read_text(encoding="utf-8")


class Lease:
    """One process's claim to some work."""

    def __init__(self, server: redis.Redis, key: str, length_ms: int) -> None:
        """Claim nothing yet.

        Args:
            server: Keeps the lease.
            key: Names the work.
            length_ms: How long the lease lasts if it is not renewed, milliseconds.
        """
        self._script = server.register_script(_SCRIPT)
        self._key = key
        self._length_ms = length_ms
        self._holder = secrets.token_hex(8)

    async def take(self) -> bool:
        """Take or renew the lease; True if this process has it.

        Raises:
            RedisError: If the server is away.
        """
        return bool(await self._script([self._key], [self._holder, self._length_ms]))

    async def give_up(self) -> None:
        """End the lease, so that another process may go on at once."""
        try:
            await self._script([self._key], [self._holder, 0])
        except (RedisError, OSError):
            log.debug("the lease %s ends by itself", self._key)
