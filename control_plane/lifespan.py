"""Opens and closes every connection, and builds the services from the settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.admission.service import open_admission
from control_plane.contracts.repository import Reading
from control_plane.egress.destinations import Destinations, Fetch, NoFetch
from control_plane.idempotency.digests import Digests
from control_plane.idempotency.once import Once
from control_plane.inference.lane import CallReport
from control_plane.jobs.changes import JobChanges
from control_plane.jobs.doubts import Doubts
from control_plane.jobs.intake import Intake
from control_plane.jobs.service import Jobs
from control_plane.jobs.store import JobStore
from control_plane.jobs.streams import Streams
from control_plane.observer import Observer, ShadowRun
from control_plane.offer import Offer
from control_plane.pipeline import Pipeline
from control_plane.routing.feedback.accuracy import Accuracies
from control_plane.routing.feedback.sampler import Sampler
from control_plane.routing.feedback.service import Feedback
from control_plane.routing.reporter import Reporter
from control_plane.routing.shadow.counts import ShadowCounts
from control_plane.routing.shadow.differences import Differences
from control_plane.routing.shadow.runner import ShadowRunner
from control_plane.routing.trials import CountStore, Trials
from control_plane.sealing import Sealer
from control_plane.services import Services
from control_plane.settings import Settings
from control_plane.tasks import end
from control_plane.telemetry.metrics import Metrics
from control_plane.types import ModelRef
from control_plane.upkeep import Upkeep, kept_current
from control_plane.uploads.room import UploadRoom
from control_plane.webhooks.room import webhooks_of

log = logging.getLogger(__name__)

GAUGE_INTERVAL_S = 1.0
CLOSE_S = 2.0
"""What jobs that were admitted get to be kept at a clean stop, seconds."""


@asynccontextmanager
async def open_services(settings: Settings, metrics: Metrics) -> AsyncIterator[Services]:
    """Open everything, yield the services, close everything.

    A server that is away at the start does not stop it: readiness tells, and it is found when it
    comes. Requests in flight get ``settings.drain_s`` seconds to finish.

    Raises:
        FaultyContract: If the model repository cannot be read at all.
        InvalidSettings: If the object store cannot be used.
    """

    def report(ref: ModelRef, call: CallReport) -> None:
        metrics.call(ref, call.size, call.seconds, call.outcome)

    def told(reading: Reading) -> None:
        _tell(reading, metrics)

    async with AsyncExitStack() as opened:
        records = redis.Redis.from_url(settings.redis_url)
        opened.push_async_callback(records.aclose)
        watch = _Watch(records)
        await watch.look()
        upkeep = Upkeep(settings, records, report=report, told=told)
        named = settings.default_model
        if named is not None and all(ref.name != named for ref in upkeep.offer.contracts):
            log.error("the default model is none of the repository's", extra={"model": named})
        admission = await opened.enter_async_context(
            open_admission(settings, records, metrics.admission.refused)
        )
        observer = await _open_observer(opened, settings, admission.counters, upkeep)
        await opened.enter_async_context(kept_current(upkeep))
        pipeline = Pipeline(upkeep.offer, upkeep.lanes, admission.gate, observer)
        sealer, destinations = Sealer(settings.data_key), Destinations(settings.egress)
        uploads = UploadRoom(records, settings, _fetch(settings))
        once = Once(admission.counters, sealer)
        opened.push_async_callback(once.close)
        services = Services(
            settings=settings,
            pipeline=pipeline,
            admission=admission,
            feedback=Feedback(admission.counters, upkeep.labels, settings.feedback_per_day),
            accuracies=Accuracies(admission.counters),
            uploads=uploads,
            webhooks=webhooks_of(records, settings, destinations),
            jobs=_open_jobs(opened, settings, records, pipeline, uploads, destinations),
            streams=Streams(admission.counters, settings.jobs.streams_per_tenant),
            once=once,
            digests=Digests(settings.data_key),
            metrics=metrics,
            records_up=lambda: watch.up,
        )
        gauges = asyncio.create_task(_gauges(services, watch, observer))
        opened.callback(gauges.cancel)
        yield services


def _fetch(settings: Settings) -> Fetch:
    """Load what calls addresses where some are taken: 6 MiB in every process."""
    if settings.uploads.fetch == "buckets" and not settings.uploads.buckets:
        return NoFetch()
    calls = import_module("control_plane.egress.calls")
    egress: Fetch = calls.Egress(settings.egress)
    return egress


def _open_jobs(
    opened: AsyncExitStack,
    settings: Settings,
    records: redis.Redis,
    pipeline: Pipeline,
    uploads: UploadRoom,
    destinations: Destinations,
) -> Jobs:
    """What takes jobs in and tells of them, on the system of record."""
    sealer, store = Sealer(settings.data_key), JobStore(records, settings.jobs)
    changes = JobChanges(records)
    following = asyncio.create_task(changes.follow())
    opened.push_async_callback(end, [following])
    doubts = Doubts(store)
    settling = asyncio.create_task(doubts.run())
    opened.push_async_callback(end, [settling])
    intake = Intake(
        store, doubts, pipeline.chooser, pipeline.gate, sealer, uploads.uploads, destinations.check
    )
    opened.push_async_callback(intake.close, CLOSE_S)
    return Jobs(store, changes, intake, sealer, uploads.objects)


async def _open_observer(
    opened: AsyncExitStack, settings: Settings, counters: redis.Redis, upkeep: Upkeep
) -> Observer:
    """What learns from predictions, writing to the limits server beside the requests."""
    trials, store = Trials(counters), CountStore(counters)
    counts = ShadowCounts(store)
    differences = Differences(counters, Sealer(settings.data_key))
    sampler = Sampler(counters, settings.feedback_per_second, settings.feedback_kept_s)
    reporter = Reporter([trials, sampler, counts, differences])
    reporter.start()
    opened.push_async_callback(reporter.close)
    shadows = ShadowRunner(
        ShadowRun(upkeep.offer, upkeep.lanes),
        counts,
        differences,
        upkeep.is_pressed,
        duty=settings.shadow_duty,
    )
    shadows.start()
    opened.push_async_callback(shadows.close)
    return Observer(trials, sampler, shadows)


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


async def _gauges(services: Services, watch: _Watch, observer: Observer) -> None:
    """Keep the gauges of every version, and the state of the system of record, current."""
    while True:
        await watch.look()
        services.metrics.admission.decisions(services.admission.gate.tally())
        pipeline = services.pipeline
        waiting = pipeline.lanes.waiting()
        for ref in pipeline.offer.contracts:
            ready = pipeline.is_ready(ref)
            services.metrics.state(ref, ready=ready, waiting=waiting.get(ref, 0))
        services.metrics.rollouts.weights(_weights(pipeline.offer))
        services.metrics.rollouts.dropped(observer.dropped())
        await asyncio.sleep(GAUGE_INTERVAL_S)


def _weights(offer: Offer) -> dict[tuple[str, str], float]:
    return {
        (state.name, candidate.version): candidate.weight / 100
        for state in offer.states.values()
        if state.rollout is not None
        for candidate in state.rollout.candidates
    }
