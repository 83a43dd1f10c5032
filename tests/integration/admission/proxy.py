"""A TCP proxy that can lose what a server answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class LossyProxy:
    """Forwards connections to a port.

    Attributes:
        port: Where it listens.
        lost: Answers that were lost: the request was forwarded, the connection then reset.
    """

    def __init__(self, target: int, every: int) -> None:
        self.lost = 0
        self.port = 0
        self._target = target
        self._every = every
        self._answers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[LossyProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near, far = await asyncio.open_connection("127.0.0.1", self._target)
        for pump in (self._forth(reader, far), self._back(near, writer)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forth(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    async def _back(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                self._answers += 1
                if self._answers % self._every == 0:
                    self.lost += 1
                    sink.transport.abort()
                    return
                sink.write(data)
        sink.close()
