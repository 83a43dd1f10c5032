"""From the outbox of ended jobs to deliveries: read once by one dispatcher, or again by another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import redis.asyncio as redis
from msgspec import Struct
from redis.exceptions import ResponseError

from control_plane.webhooks.deliveries import Deliveries
from control_plane.webhooks.endpoints import Endpoints
from control_plane.webhooks.payload import messages
from control_plane.webhooks.shapes import Endpoint, Event, Message, Told

log = logging.getLogger(__name__)

BATCH: Final = 64
BLOCK_MS: Final = 1000
"""How long one read waits for entries; well below the client's own time for an answer."""

_CONSUMER: Final = "dispatcher"
"""One name for all: what is pending is told apart by its age, and dead names do not pile up."""

Describe = Callable[[str], Awaitable[Told | None]]
"""What is told of a job by its id; None if it is not kept any more."""


class Outbox(Struct, frozen=True):
    """A stream of ends, ``{job, tenant, state}``.

    Attributes:
        stream: Its key.
        group: Of the consumers.
        patience_ms: Milliseconds after which an entry that nobody finished is taken up again.
    """

    stream: str
    group: str = "webhooks"
    patience_ms: int = 30_000


class Expander:
    """Makes deliveries of the outbox's entries, each at least once."""

    def __init__(
        self,
        server: redis.Redis,
        outbox: Outbox,
        endpoints: Endpoints,
        deliveries: Deliveries,
        describe: Describe,
    ) -> None:
        """Expand with these.

        Args:
            server: The system of record.
            outbox: What is read.
            endpoints: Whom to tell.
            deliveries: Where deliveries are kept.
            describe: What to tell.
        """
        self._server = server
        self._outbox = outbox
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._describe = describe
        self._has_group = False

    async def step(self) -> int:
        """Take up what is there, or wait a second for it; how many entries were finished.

        Raises:
            RedisError: If the server is away; so with OSError and AdmissionUnavailable.
        """
        if not self._has_group:
            await self._make_group()
        try:
            entries = await self._left() or await self._fresh()
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._has_group = False
            return 0
        return await self._expand(entries) if entries else 0

    async def _make_group(self) -> None:
        try:
            await self._server.xgroup_create(
                self._outbox.stream, self._outbox.group, id="0", mkstream=True
            )
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._has_group = True

    async def _left(self) -> list[Any]:
        """Entries that a dispatcher took up and did not finish."""
        found = await self._server.xautoclaim(
            self._outbox.stream,
            self._outbox.group,
            _CONSUMER,
            min_idle_time=self._outbox.patience_ms,
            count=BATCH,
        )
        entries: list[Any] = found[1]
        return entries

    async def _fresh(self) -> list[Any]:
        found = await self._server.xreadgroup(
            self._outbox.group,
            _CONSUMER,
            {self._outbox.stream: ">"},
            count=BATCH,
            block=BLOCK_MS,
        )
        if not found:
            return []
        streams = found.items() if isinstance(found, dict) else found
        return [entry for _, parts in streams for entry in _flat(parts)]

    async def _expand(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> int:
        tenants = {fields[b"tenant"].decode() for _, fields in entries}
        endpoints = {tenant: await self._endpoints.all(tenant) for tenant in sorted(tenants)}
        results = await asyncio.gather(
            *(self._messages(fields, endpoints) for _, fields in entries), return_exceptions=True
        )
        made: list[Message] = []
        done: list[bytes] = []
        for (number, _), result in zip(entries, results, strict=True):
            if isinstance(result, BaseException):
                if not isinstance(result, Exception):
                    raise result
                log.warning("an end could not be told", extra={"error": type(result).__name__})
                continue
            made += result
            done.append(number)
        await self._deliveries.add(made)
        if done:
            async with self._server.pipeline(transaction=False) as pipe:
                pipe.xack(self._outbox.stream, self._outbox.group, *done)
                pipe.xdel(self._outbox.stream, *done)
                await pipe.execute()
        return len(done)

    async def _messages(
        self, fields: dict[bytes, bytes], endpoints: dict[str, list[Endpoint]]
    ) -> list[Message]:
        job, tenant = fields[b"job"].decode(), fields[b"tenant"].decode()
        event = Event(f"job.{fields[b'state'].decode()}")
        told = await self._describe(job)
        return [] if told is None else messages(job, tenant, event, told, endpoints[tenant])


def _flat(parts: Any) -> list[Any]:
    """Entries of a stream; RESP 3 has them in one list more."""
    return [entry for part in parts for entry in (part if isinstance(part, list) else [part])]
