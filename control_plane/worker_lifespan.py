"""Opens what a worker works with, and closes it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.admission.limits.refunds import Refunder
from control_plane.api.job_views import view
from control_plane.contracts.repository import Reading
from control_plane.egress.calls import Egress
from control_plane.inference.lane import CallReport
from control_plane.jobs import layout
from control_plane.jobs.durability import ensure_durable
from control_plane.jobs.store import JobStore
from control_plane.jobs.work.crew import Crew, at_work
from control_plane.jobs.work.executor import Executor
from control_plane.jobs.work.results import Results
from control_plane.jobs.work.telling import Teller
from control_plane.records.server import TIMEOUT_S
from control_plane.sealing import Sealer
from control_plane.settings import Settings
from control_plane.tasks import end
from control_plane.telemetry.metrics import Metrics
from control_plane.types import ModelRef
from control_plane.upkeep import Upkeep, kept_current
from control_plane.uploads.room import UploadRoom
from control_plane.webhooks.dispatcher import open_dispatcher
from control_plane.webhooks.outbox import Outbox

log = logging.getLogger(__name__)

GROUP: Final = "webhooks"
"""Who reads the outbox, all workers together."""


@asynccontextmanager
async def open_worker(settings: Settings, metrics: Metrics) -> AsyncIterator[Crew]:
    """Open everything, work on jobs, close everything.

    A server that is away at the start does not stop it. Jobs in hand get
    ``settings.jobs.grace_s`` seconds to finish.

    Raises:
        InvalidSettings: If the system of record may not keep jobs, or the object store cannot be
            opened.
        FaultyContract: If the model repository cannot be read at all.
    """

    def report(ref: ModelRef, call: CallReport) -> None:
        metrics.call(ref, call.size, call.seconds, call.outcome)

    async with AsyncExitStack() as opened:
        records = _client(opened, settings.redis_url)
        limits = _client(opened, settings.limits_redis_url or settings.redis_url)
        await ensure_durable(records, settings.jobs)
        sealer, egress = Sealer(settings.data_key), Egress(settings.egress)
        room = UploadRoom(records, settings, egress)
        upkeep = Upkeep(settings, records, report=report, told=_tell)
        await opened.enter_async_context(kept_current(upkeep))
        store = JobStore(records, settings.jobs)
        _beside(opened, room.lifecycle(store.known).run())
        _beside(opened, Refunder(records, limits, layout.REFUNDS, metrics.jobs.refunded).run())
        dispatching = open_dispatcher(
            records,
            settings,
            Outbox(layout.OUTBOX, GROUP),
            Teller(store, sealer, view).tell,
            metrics.webhooks,
            egress=egress,
        )
        await opened.enter_async_context(dispatching)
        crew = Crew(
            f"{os.getpid()}-{secrets.token_hex(8)}",
            records,
            settings.jobs,
            executor=Executor(upkeep.offer, upkeep.lanes, sealer, room.uploads),
            results=Results(sealer, room.objects, settings.jobs.inline_result_bytes),
            metrics=metrics.jobs,
        )
        yield await opened.enter_async_context(at_work(crew))


def _client(opened: AsyncExitStack, url: str) -> redis.Redis:
    """A client that sends nothing twice: a change whose reply was lost may have been made."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    opened.push_async_callback(client.aclose)
    return client


def _beside(opened: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Let something run until all is closed."""
    task = asyncio.create_task(work)

    async def stop() -> None:
        await end([task])

    opened.push_async_callback(stop)


def _tell(reading: Reading) -> None:
    for fault in reading.faults:
        log.error("contract fault: version left out", extra={"fault": str(fault)})
