"""Runs beside a worker's jobs: takes up ends, sends what is due, forgets what is old."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.egress.calls import Egress
from control_plane.errors import TidegateError
from control_plane.sealing import Sealer
from control_plane.setting_groups import WebhookSettings
from control_plane.settings import Settings
from control_plane.tasks import end
from control_plane.telemetry.webhook_metrics import WebhookMetrics
from control_plane.webhooks.deliveries import Deliveries, on_time
from control_plane.webhooks.endpoints import Endpoints
from control_plane.webhooks.outbox import Describe, Expander, Outbox
from control_plane.webhooks.sender import Sender
from control_plane.webhooks.shapes import Held

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
"""How long what has become due may lie before it is looked for."""
AGAIN_S: Final = 1.0
TIDY_S: Final = 15.0
GRACE_S: Final = 5.0
"""What attempts under way get to finish at a stop, seconds; what they do not, others repeat."""
LEASE_MORE_S: Final = 15.0
"""What a lease is longer than an attempt may take, seconds."""


class Dispatcher:
    """Delivers webhooks until it is closed; any number of them share the work.

    Of one dispatcher ``in_flight`` calls are under way at most, and ``in_flight_per_tenant`` of one
    tenant, so that receivers that answer late hold up their own tenant alone.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        deliveries: Deliveries,
        expander: Expander,
        sender: Sender,
        metrics: WebhookMetrics,
    ) -> None:
        """Dispatch with these; see :func:`open_dispatcher`."""
        self._settings = settings
        self._deliveries = deliveries
        self._expander = expander
        self._sender = sender
        self._metrics = metrics
        self._lease_ms = int((settings.timeout_s + LEASE_MORE_S) * 1000)
        self._attempts: set[asyncio.Task[None]] = set()
        self._in_hand: Counter[str] = Counter()
        self._awake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._loops = [
            asyncio.create_task(_forever(step)) for step in (self._take_up, self._send, self._tidy)
        ]

    async def close(self) -> None:
        """Take up nothing more, give attempts under way five seconds, and end."""
        await end(self._loops)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=GRACE_S)
        await end(self._attempts)

    async def _take_up(self) -> None:
        if await self._expander.step():
            self._awake.set()

    async def _send(self) -> None:
        self._awake.clear()
        room = self._settings.in_flight - len(self._attempts)
        held = await self._claim(room) if room else []
        for one in held:
            self._begin(one)
        if len(held) < room or not room:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), POLL_S)

    async def _claim(self, room: int) -> list[Held]:
        share = self._settings.in_flight_per_tenant
        return await self._deliveries.claim(room, share, self._in_hand, self._lease_ms)

    def _begin(self, held: Held) -> None:
        tenant = held.tenant
        self._in_hand[tenant] += 1
        task = asyncio.create_task(self._attempt(held))
        self._attempts.add(task)

        def over(done: asyncio.Task[None]) -> None:
            self._attempts.discard(done)
            self._in_hand[tenant] -= 1
            if not self._in_hand[tenant]:
                del self._in_hand[tenant]
            self._awake.set()

        task.add_done_callback(over)

    async def _attempt(self, held: Held) -> None:
        try:
            await self._sender.attempt(held)
        except TidegateError as error:
            log.warning("an attempt was not written down", extra={"error": error.code})
        except Exception:
            log.exception("an attempt broke", extra={"id": held.id})

    async def _tidy(self) -> None:
        self._metrics.overdue(await self._deliveries.overdue_s())
        while await self._deliveries.forget():
            pass
        await asyncio.sleep(TIDY_S)


@asynccontextmanager
async def open_dispatcher(
    server: redis.Redis,
    settings: Settings,
    outbox: Outbox,
    describe: Describe,
    metrics: WebhookMetrics,
    *,
    egress: Egress | None = None,
    ahead_ms: Callable[[], int] = on_time,
) -> AsyncIterator[Dispatcher]:
    """Dispatch as long as the context is open.

    Args:
        server: The system of record. It must not repeat commands by itself.
        settings: Of the worker.
        outbox: Ends that are to be told.
        describe: What to tell of a job.
        metrics: Where attempts are counted.
        egress: The way out; by default one of the settings.
        ahead_ms: See :class:`Deliveries`.
    """
    sealer, hooks = Sealer(settings.data_key), settings.webhooks
    deliveries = Deliveries(server, sealer, hooks.kept_s, ahead_ms)
    endpoints = Endpoints(server, sealer, hooks.endpoints_per_tenant)
    way = egress or Egress(settings.egress)
    sender = Sender(deliveries, endpoints, way, metrics, hooks.timeout_s)
    expander = Expander(server, outbox, endpoints, deliveries, describe)
    dispatcher = Dispatcher(hooks, deliveries, expander, sender, metrics)
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        await dispatcher.close()


async def _forever(step: Callable[[], Awaitable[object]]) -> None:
    """Take a step again and again; if the server is away, say so and wait a while."""
    while True:
        try:
            await step()
        except (RedisError, OSError, TimeoutError, TidegateError) as error:
            facts = {"error": type(error).__name__}
            log.warning("webhooks wait for the system of record", extra=facts)
            await asyncio.sleep(AGAIN_S)
        except Exception:
            log.exception("a step of the webhooks broke")
            await asyncio.sleep(AGAIN_S)
