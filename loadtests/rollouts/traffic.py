"""Clients that call at a rate of their own, whether or not the answers keep up (an open loop)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop
from msgspec import Struct

from loadtests.rollouts.gateway import Gateway

USERS: Final = 2000
GIVEN_UP_S: Final = 30.0


class Seen(Struct, frozen=True, gc=False):
    """A request and its answer.

    Attributes:
        due: Epoch seconds at which it was meant to be sent.
        ended: Epoch seconds of the last byte of the answer.
        status: Of the answer; 0 if none came.
        version: That answered; empty of an error.
        problem: Body of an answer that was no 200, or what became of the connection.
    """

    due: float
    ended: float
    status: int
    version: str
    problem: str = ""

    @property
    def latency_s(self) -> float:
        """Seconds from when it was meant to be sent: a client that is late itself hides nothing."""
        return self.ended - self.due


class Traffic:
    """Requests at random moments (a Poisson process), by random users, from a thread of its own.

    Attributes:
        seen: The answers, in the order in which they came.
    """

    def __init__(
        self,
        gateway: Gateway,
        model: str,
        rate: float,
        draw: Callable[[random.Random], dict[str, Any]],
        seed: int = 1,
    ) -> None:
        """Prepare.

        Args:
            gateway: Who is called.
            model: Public name.
            rate: Requests a second.
            draw: Makes the inputs of a request.
            seed: Equal seeds call alike at equal moments.
        """
        self.seen: list[Seen] = []
        self._address = urlsplit(gateway.url)
        self._head = (
            f"POST /api/v1/models/{model}/predict HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Authorization: Bearer {gateway.key}\r\nContent-Type: application/json\r\n"
        )
        self._rate = rate
        self._draw = draw
        self._random = random.Random(seed)  # noqa: S311 (reproducible, not secret)
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._stop = threading.Event()

    @contextlib.contextmanager
    def flowing(self) -> Iterator[Traffic]:
        """Call until the end of the context, then take what is still to be answered."""
        thread = threading.Thread(target=lambda: uvloop.run(self._flow()))
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    async def _flow(self) -> None:
        pending: set[asyncio.Task[None]] = set()
        due = time.time()
        while not self._stop.is_set():
            due += self._random.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - time.time()))
            task = asyncio.create_task(self._call(due, self._request()))
            pending.add(task)
            task.add_done_callback(pending.discard)
        if pending:
            await asyncio.wait(pending)
        for _, writer in self._free:
            writer.close()

    def _request(self) -> bytes:
        body = json.dumps({"inputs": self._draw(self._random)}).encode()
        user = self._random.randrange(USERS)
        head = f"{self._head}X-User: user-{user}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async def _call(self, due: float, request: bytes) -> None:
        status, version, problem = 0, "", ""
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                pair = await self._connection()
                status, version, problem = await _exchange(*pair, request)
            # After an error the server may close, and a request would seem lost that was not sent.
            if status == HTTPStatus.OK:
                self._free.append(pair)
        except (OSError, asyncio.IncompleteReadError) as error:
            problem = repr(error)
        self.seen.append(Seen(due, time.time(), status, version, problem))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():
                return reader, writer
        return await asyncio.open_connection(self._address.hostname, self._address.port)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, str, str]:
    """Send a request and read the answer: status, version that answered, body of an error."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    named = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(named.get("content-length", "0")))
    status = int(head[9:12])
    problem = "" if status == HTTPStatus.OK else body.decode(errors="replace")
    return status, named.get("x-model-version", ""), problem


def drawn_from(texts: Sequence[str]) -> Callable[[random.Random], dict[str, Any]]:
    """Inputs of a model of texts."""
    return lambda source: {"text": source.choice(texts)}


def number(source: random.Random) -> dict[str, Any]:
    """Inputs of a model of numbers."""
    return {"x": source.random() * 0.75}
