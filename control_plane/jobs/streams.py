"""How many streams of events a tenant has open, over all processes."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.errors import AdmissionUnavailable, TidegateError

log = logging.getLogger(__name__)

LAPSE_S: Final = 30.0
"""How long a stream of a process that has died is counted, seconds."""
STEP_S: Final = 2.0

_SCRIPT: Final = Path(__file__).with_name("streams.lua").read_text()


class OpenStream:
    """A stream that is counted; whoever has it renews it within :data:`LAPSE_S`."""

    def __init__(self, streams: Streams, place: str) -> None:
        self._streams = streams
        self._place = place
        self._id = secrets.token_hex(8)

    async def renew(self) -> bool:
        """Count it as open; False if the tenant has too many others.

        Raises:
            AdmissionUnavailable: If the limits server is away.
        """
        return await self._streams.count(self._place, self._id)

    async def close(self) -> None:
        """Count it no more; should the server be away, it lapses."""
        try:
            async with asyncio.timeout(STEP_S):
                await self._streams.server.zrem(self._place, self._id)
        except (RedisError, OSError, TimeoutError):
            log.debug("a stream of events lapses by itself")


class Streams:
    """Counts the open streams of tenants on the limits server.

    Attributes:
        server: The limits server.
    """

    def __init__(self, server: redis.Redis, most: int) -> None:
        """Count on a server.

        Args:
            server: The limits server.
            most: Streams that one tenant may have open.
        """
        self.server = server
        self._most = most
        self._script = server.register_script(_SCRIPT)

    @asynccontextmanager
    async def opened(self, tenant: str) -> AsyncIterator[OpenStream]:
        """Count a stream of a tenant's for as long as it is open.

        Raises:
            TidegateError: TOO_MANY_OPEN.
            AdmissionUnavailable: If the limits server is away.
        """
        stream = OpenStream(self, f"tg:{{t:{tenant}}}:streams")
        if not await stream.renew():
            message = f"The tenant has {self._most} streams of events open"
            details = {"limit": self._most}
            headers = {"retry-after": "5"}
            raise TidegateError(message, code="TOO_MANY_OPEN", details=details, headers=headers)
        try:
            yield stream
        finally:
            closing = asyncio.ensure_future(stream.close())
            await asyncio.shield(closing)

    async def count(self, place: str, stream: str) -> bool:
        """Count a stream at a place; see :meth:`OpenStream.renew`."""
        lapse_ms = int(LAPSE_S * 1000)
        try:
            async with asyncio.timeout(STEP_S):
                taken = await self._script(keys=[place], args=[stream, self._most, lapse_ms])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the limits server is away", extra={"error": type(error).__name__})
            raise AdmissionUnavailable("The open streams cannot be counted") from None
        return bool(taken)
