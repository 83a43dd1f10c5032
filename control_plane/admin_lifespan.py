"""Opens what the operators' door works with, and what runs beside it; closes all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import redis.asyncio as redis
from msgspec import Struct
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.admin.services import AdminServices
from control_plane.admission.abuse.blocks import Blocks, recorder
from control_plane.admission.abuse.judge import Judge, Round
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity.address import Addresses
from control_plane.admission.identity.directory import Directory
from control_plane.admission.identity.grants import NoIssuers
from control_plane.admission.identity.identity import Hooks, Identity
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.offences import BadCredentials
from control_plane.admission.service import seed
from control_plane.admission.usage.customers import Customers
from control_plane.admission.usage.export import UsageExport
from control_plane.admission.usage.reading import Usage
from control_plane.jobs.operators import OperatorJobs
from control_plane.jobs.store import JobStore
from control_plane.records.audit import AuditLog
from control_plane.records.server import TIMEOUT_S
from control_plane.routing.feedback.accuracy import Accuracies
from control_plane.routing.judge.loop import RolloutJudge
from control_plane.routing.state import ModelState
from control_plane.routing.store import ModelStore
from control_plane.sealing import Sealer
from control_plane.settings import Settings
from control_plane.tasks import end
from control_plane.telemetry.admission_metrics import AdmissionMetrics
from control_plane.telemetry.rollout_metrics import RolloutMetrics
from control_plane.versions.insight import Insights
from control_plane.versions.keeper import VersionKeeper
from control_plane.versions.sunsets import Sunsets


class Servers(Struct, frozen=True):
    """Clients of the two servers that keep everything.

    Attributes:
        records: The system of record.
        limits: Counters and caches.
    """

    records: redis.Redis
    limits: redis.Redis


@asynccontextmanager
async def open_admin_services(
    settings: Settings, metrics: AdmissionMetrics, rollouts: RolloutMetrics
) -> AsyncIterator[AdminServices]:
    """Open everything, yield the services, close everything.

    A server that is away does not stop the start: it is asked again at each request. What is
    watched beside the requests may be watched by several admin processes: judges hold a lease, and
    all others do nothing twice.
    """
    async with AsyncExitStack() as opened:
        servers = Servers(
            _client(opened, settings.redis_url),
            _client(opened, settings.limits_redis_url or settings.redis_url),
        )
        store, models = Store(servers.records), ModelStore(servers.records)
        blocks = Blocks(servers.limits, recorder(servers.records), settings.abuse_rules.forgive_s)
        identity = await _open_identity(opened, settings, servers.records, store)
        versions = VersionKeeper(settings, servers.records, models)
        await opened.enter_async_context(versions.kept())

        def states() -> Mapping[str, ModelState]:
            return versions.states

        judge = Judge(servers.limits, blocks, settings.abuse_rules, partial(_count, metrics))
        _beside(opened, seed(store))
        _beside(opened, judge.run())
        _beside(opened, Sunsets(models, states).run())
        _beside(opened, RolloutJudge(models, servers.limits, states, rollouts.judged).run())
        customers, used = Customers(servers.records), Usage(servers.limits)
        yield AdminServices(
            store=store,
            audit=AuditLog(servers.records),
            blocks=blocks,
            customers=customers,
            usage=used,
            exports=UsageExport(customers, used),
            identity=identity,
            key_pepper=settings.key_pepper,
            models=models,
            versions=versions,
            insights=Insights(servers.limits, settings.data_key),
            accuracies=Accuracies(servers.limits),
            jobs=OperatorJobs(
                JobStore(servers.records, settings.jobs),
                Sealer(settings.data_key),
                recorder(servers.records),
            ),
        )


def _beside(opened: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Let something run until all is closed."""
    task = asyncio.create_task(work)

    async def stop() -> None:
        await end([task])

    opened.push_async_callback(stop)


async def _open_identity(
    opened: AsyncExitStack, settings: Settings, records: redis.Redis, store: Store
) -> Identity:
    """Access tokens open nothing here, so that no provider is known and none is asked."""
    link = Link(settings.limits_redis_url or settings.redis_url)
    opened.callback(link.close)
    bad = BadCredentials(Ledger(link))
    opened.push_async_callback(bad.close)
    directory = Directory(records)
    await directory.start()
    opened.push_async_callback(directory.close)
    return Identity(
        directory,
        NoIssuers(),
        Addresses(settings.trusted_proxies),
        Hooks(store.provision, lambda network, _: bad.note(network), bad.slowed),
        key_pepper=settings.key_pepper,
        bootstrap_admin_key=settings.bootstrap_admin_key,
    )


def _count(metrics: AdmissionMetrics, round_: Round, standing: int) -> None:
    for block in round_.blocks:
        metrics.blocked(block.rule, block.level)
    metrics.standing(standing)


def _client(opened: AsyncExitStack, url: str) -> redis.Redis:
    """A client that sends nothing twice: a change whose reply was lost conflicts with itself."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    opened.push_async_callback(client.aclose)
    return client
