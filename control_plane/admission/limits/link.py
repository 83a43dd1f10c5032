"""One connection to a Valkey server, for calls on the path of every request.

redis-py opens it (URL, TLS, password, handshake); then a protocol of our own takes over the
transport, because a call through the client costs twice the CPU (docs/decisions/0007).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import hiredis
import redis.asyncio as redis
from redis.exceptions import RedisError

Command = tuple[Any, ...]
"""A command and its arguments: ``bytes`` or ``str``."""

CONNECT_S: Final = 0.4


class LinkDown(Exception):
    """The server cannot be reached or does not answer; the call may have been carried out."""


class _Wire(asyncio.Protocol):
    """An open connection: replies go to the calls in their order."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer  # it closes its transport when it is collected
        self._transport = writer.transport
        self._reader = hiredis.Reader()
        self._calls: deque[tuple[asyncio.Future[list[Any]], list[Any], int]] = deque()
        self.is_open = True
        self._transport.set_protocol(self)

    def send(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """Send commands in one write."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._calls.append((future, [], len(commands)))
        self._transport.write(b"".join(hiredis.pack_command(command) for command in commands))
        return future

    def close(self, reason: str) -> None:
        """Close the connection; calls under way end with ``LinkDown``."""
        if self.is_open:
            self.is_open = False
            self._transport.abort()
        calls, self._calls = self._calls, deque()
        for future, _, _ in calls:
            if not future.done():
                future.set_exception(LinkDown(reason))

    def data_received(self, data: bytes) -> None:
        """Hand the replies to the calls that wait for them."""
        self._reader.feed(data)
        while self._calls:
            reply = self._reader.gets()
            if reply is False:
                return
            future, replies, wanted = self._calls[0]
            replies.append(reply)
            if len(replies) == wanted:
                self._calls.popleft()
                if not future.done():
                    future.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the calls under way."""
        self.close("the connection broke")


class Link:
    """Sends commands in one write and takes their replies in order."""

    def __init__(self, url: str) -> None:
        """Know where; nothing is opened before the first call.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
        """
        self._pool = redis.ConnectionPool.from_url(url)
        self._wire: _Wire | None = None
        self._opening = asyncio.Lock()

    async def call(self, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        """Send at least one command and wait for the replies.

        An error reply stands in the list as a ``hiredis.ReplyError``.

        Raises:
            LinkDown: If the connection cannot be opened, breaks, or a reply takes longer than
                ``timeout_s``; it is then closed, since what comes on it is no longer in order.
        """
        wire = self._wire
        if wire is None or not wire.is_open:
            wire = await self._opened()
        future = wire.send(commands)
        timer = asyncio.get_running_loop().call_later(timeout_s, wire.close, "no reply in time")
        try:
            return await future
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connection; calls under way end with ``LinkDown``."""
        if self._wire is not None:
            self._wire.close("closed")

    async def _opened(self) -> _Wire:
        async with self._opening:
            if self._wire is None or not self._wire.is_open:
                connection: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]
                try:
                    async with asyncio.timeout(CONNECT_S):
                        await connection.connect()
                except (RedisError, OSError, TimeoutError) as error:
                    raise LinkDown(f"no connection: {type(error).__name__}") from None
                self._wire = _Wire(connection._writer)
                connection._reader = connection._writer = None
            return self._wire
