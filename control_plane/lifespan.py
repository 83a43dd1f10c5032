"""Opens and closes every connection, and builds the services from the settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.admission.service import open_admission
from control_plane.contracts.check import disagreements
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import Reading, read_repository
from control_plane.inference.lane import CallReport
from control_plane.inference.lanes import Lanes, LaneSpec
from control_plane.inference.pool import BackendPool
from control_plane.inference.triton import TritonBackend
from control_plane.pipeline import Pipeline
from control_plane.routing.catalog import Catalog, CatalogEntry
from control_plane.routing.selection import Router
from control_plane.services import Services
from control_plane.settings import Settings
from control_plane.telemetry.metrics import Metrics
from control_plane.types import Life, ModelRef, ModelSignature

log = logging.getLogger(__name__)

GAUGE_INTERVAL_S = 1.0


@asynccontextmanager
async def open_services(settings: Settings, metrics: Metrics) -> AsyncIterator[Services]:
    """Open everything, yield the services, close everything.

    A server that is away at the start does not stop it: readiness tells, and it is found when it
    comes. Requests in flight get ``settings.drain_s`` seconds to finish.

    Raises:
        FaultyContract: If the model repository cannot be read at all.
    """
    reading = read_repository(Path(settings.model_repository))
    _tell(reading, metrics)
    records = redis.Redis.from_url(settings.redis_url)
    pool = BackendPool(
        [TritonBackend(address) for address in settings.triton_urls],
        interval_s=settings.health_interval_s,
        timeout_s=settings.health_timeout_s,
    )
    watch = _Watch(records)
    await watch.look()
    lanes = _lanes(settings, reading, pool, metrics)
    await pool.start()
    await lanes.settle()
    contracts = {compiled.ref: compiled for compiled in reading.contracts}
    named = settings.default_model
    if named is not None and all(ref.name != named for ref in contracts):
        log.error("the default model is none of the repository's", extra={"model": named})
    catalog = Catalog(
        [CatalogEntry(c.ref, Life(c.contract.status)) for c in reading.contracts],
        settings.default_model,
    )
    async with open_admission(settings, records, metrics.admission.refused) as admission:
        services = Services(
            settings=settings,
            pipeline=Pipeline(contracts, Router(catalog), lanes, admission.gate),
            admission=admission,
            metrics=metrics,
            records_up=lambda: watch.up,
        )
        gauges = asyncio.create_task(_gauges(services, watch))
        try:
            yield services
        finally:
            gauges.cancel()
            await lanes.close(settings.drain_s)
            await pool.close()
    await records.aclose()


class _Watch:
    """Whether a Valkey answers; asked beside the requests, so that a hung one delays none."""

    def __init__(self, server: redis.Redis) -> None:
        self._server = server
        self.up = False

    async def look(self) -> None:
        answered = False
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                answered = bool(await self._server.ping())
        self.up = answered


def _tell(reading: Reading, metrics: Metrics) -> None:
    for fault in reading.faults:
        log.error("contract fault: version left out", extra={"fault": str(fault)})
    metrics.faults(len(reading.faults))
    versions = [str(compiled.ref) for compiled in reading.contracts]
    log.info("contracts read", extra={"versions": versions, "faults": len(reading.faults)})


def _lanes(settings: Settings, reading: Reading, pool: BackendPool, metrics: Metrics) -> Lanes:
    def report(ref: ModelRef, call: CallReport) -> None:
        metrics.call(ref, call.size, call.seconds, call.outcome)

    def differences(compiled: CompiledContract, signature: ModelSignature) -> list[str]:
        return [found.message for found in disagreements(compiled, signature)]

    specs = {
        compiled.backing: LaneSpec(
            ref=compiled.ref,
            codec=compiled.codec,
            disagreements=partial(differences, compiled),
            deadline_s=compiled.contract.deadline_ms / 1000,
        )
        for compiled in reading.contracts
    }
    return Lanes(
        specs,
        pool,
        slots=settings.calls_in_flight,
        max_waiting=settings.max_waiting,
        timeout_s=settings.health_timeout_s,
        report=report,
    )


async def _gauges(services: Services, watch: _Watch) -> None:
    """Keep the gauges of every version, and the state of the system of record, current."""
    while True:
        await watch.look()
        services.metrics.admission.decisions(services.admission.gate.tally())
        waiting = services.pipeline.lanes.waiting()
        for ref in services.pipeline.contracts:
            ready = services.pipeline.is_ready(ref)
            services.metrics.state(ref, ready=ready, waiting=waiting.get(ref, 0))
        await asyncio.sleep(GAUGE_INTERVAL_S)
