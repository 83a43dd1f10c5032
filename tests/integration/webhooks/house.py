"""A receiver, an outbox, and dispatchers whose time can be moved on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import msgspec
import redis.asyncio as redis
from prometheus_client import CollectorRegistry

from control_plane.egress.calls import Egress
from control_plane.records.transaction import Actor
from control_plane.sealing import Sealer
from control_plane.settings import Settings
from control_plane.telemetry.webhook_metrics import WebhookMetrics
from control_plane.webhooks.deliveries import Deliveries
from control_plane.webhooks.dispatcher import Dispatcher, open_dispatcher
from control_plane.webhooks.endpoints import Draft, Endpoints
from control_plane.webhooks.outbox import Outbox
from control_plane.webhooks.shapes import Delivery, Endpoint, Status, Told

STREAM = "tg:{jobs}:outbox"
BY = Actor("k:abcdefghij27", "req_1")
SECONDS = 20.0
"""What anything may take before a test fails."""


class Call(NamedTuple):
    """What a receiver got.

    Attributes:
        path: Of the request.
        headers: By lower-case name.
        body: As it came.
    """

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The ``webhook-id``."""
        return self.headers["webhook-id"]

    @property
    def job(self) -> str:
        """Id of the job that is told of."""
        return str(msgspec.json.decode(self.body)["data"]["job_id"])


Behaviour = Callable[[Call], Awaitable[bytes]]


async def accepts(call: Call) -> bytes:
    """What a receiver answers that took a webhook."""
    return b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def answers(status: int, headers: str = "") -> Behaviour:
    """What a receiver answers that did not."""

    async def behave(call: Call) -> bytes:
        return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: 2\r\n\r\nno".encode()

    return behave


class Receiver:
    """An HTTP server on the loopback address.

    Attributes:
        calls: What came.
        behave: What is answered, by path; by default all is taken.
        open_now: Calls that are not answered yet, by path.
        most_open: The most of them at once, by path.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.behave: dict[str, Behaviour] = {}
        self.open_now: dict[str, int] = {}
        self.most_open: dict[str, int] = {}
        self.port = 0

    def url(self, path: str = "/hook") -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def got(self, path: str = "/hook") -> list[Call]:
        """What came to a path."""
        return [call for call in self.calls if call.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one call."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.partition(": ") for line in head[1:-2])
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            call = Call(head[0].split(" ")[1], headers, body)
            self.calls.append(call)
            now = self.open_now[call.path] = self.open_now.get(call.path, 0) + 1
            self.most_open[call.path] = max(now, self.most_open.get(call.path, 0))
            try:
                await self._answer(call, reader, writer)
            finally:
                self.open_now[call.path] -= 1
        writer.close()

    async def _answer(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer, unless the caller goes away first."""
        answer = asyncio.ensure_future(self.behave.get(call.path, accepts)(call))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            writer.write(answer.result())
            await writer.drain()
        answer.cancel()
        gone.cancel()


class House:
    """A system of record with endpoints, an outbox, and a time that can be moved on.

    Attributes:
        ahead_ms: By how much the schedule is ahead of the server's clock.
        told: What is told of a job, by its id.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self.settings = settings
        self.url = url
        self.server = redis.Redis.from_url(url)
        self.ahead_ms = 0
        self.told: dict[str, Told] = {}
        sealer = Sealer(settings.data_key)
        hooks = settings.webhooks
        self.endpoints = Endpoints(self.server, sealer, hooks.endpoints_per_tenant)
        self.deliveries = Deliveries(self.server, sealer, hooks.kept_s, lambda: self.ahead_ms)
        self._jobs = 0

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead_ms += int(seconds * 1000)

    async def describe(self, job: str) -> Told | None:
        """What is told of a job."""
        return self.told.get(job)

    async def endpoint(self, tenant: str, url: str, **more: Any) -> Endpoint:
        """Make an endpoint."""
        return await self.endpoints.create(tenant, Draft(url=url, **more), BY)

    async def secrets(self, endpoint: Endpoint) -> list[str]:
        """What signs for an endpoint now."""
        record = await self.endpoints.read(endpoint.tenant, endpoint.id)
        return self.endpoints.opened(record, time.time())

    async def ends(self, tenant: str, state: str = "completed", url: str | None = None) -> str:
        """Let a job end; its id."""
        self._jobs += 1
        job = f"job_{self._jobs:032x}"
        data = {"job_id": job, "status": state}
        self.told[job] = Told(data, 1_790_000_000_000 + self._jobs, url)
        await self.server.xadd(STREAM, {"job": job, "tenant": tenant, "state": state})
        return job

    async def rests(self, tenant: str, delivery: str) -> Delivery:
        """A delivery, once no attempt of it is under way."""
        async with asyncio.timeout(SECONDS):
            while True:
                found = await self.deliveries.read(tenant, delivery)
                if found.status is not Status.SENDING:
                    return found
                await asyncio.sleep(0.01)

    def dispatcher(self, **more: Any) -> AbstractAsyncContextManager[Dispatcher]:
        """Dispatch as long as the context is open."""
        return open_dispatcher(
            self.server,
            self.settings,
            more.pop("outbox", Outbox(STREAM, patience_ms=500)),
            more.pop("describe", self.describe),
            WebhookMetrics(CollectorRegistry()),
            ahead_ms=lambda: self.ahead_ms,
            egress=Egress(self.settings.egress),
        )


async def until(condition: Callable[[], object]) -> None:
    """Wait for what has to come true."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.01)


async def stays(condition: Callable[[], object], seconds: float = 0.4) -> None:
    """See that something stays true while dispatchers had time to act."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        await asyncio.sleep(0.02)
