"""A receiver of webhooks that believes only what the official library finds well signed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError

from tests.chaos.seen import Event, Seen

_OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_NO: Final = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Receiver:
    """An HTTP server of one address for each tenant.

    Attributes:
        secrets: By tenant, as soon as its endpoint is made.
    """

    def __init__(self, seen: Seen) -> None:
        """Take nothing yet.

        Args:
            seen: Takes the events.
        """
        self._seen = seen
        self.secrets: dict[str, str] = {}
        self.port = 0

    def url(self, tenant: str) -> str:
        """Where a tenant's webhooks go."""
        return f"http://127.0.0.1:{self.port}/{tenant}"

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Answer until the end of the context."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.rstrip().split("\r\n")
                named = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in lines)
                }
                body = await reader.readexactly(int(named["content-length"]))
                writer.write(_OK if self._take(first.split(" ")[1][1:], named, body) else _NO)
                await writer.drain()
        writer.close()

    def _take(self, tenant: str, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(self.secrets[tenant]).verify(body, headers)
        except (KeyError, WebhookVerificationError):
            self._seen.forged += 1
            return False
        told = json.loads(body)
        job = str(told["data"]["job_id"])
        self._seen.events.append(Event(headers["webhook-id"], told["type"], job))
        return True
