"""Composition root of the operators' HTTP application."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import httpx
import msgspec
import redis.asyncio as redis
from litestar import Litestar, Router
from litestar.datastructures import CacheControlHeader
from prometheus_client import REGISTRY
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.admin import audit, blocks, keys, openapi, tenants, tiers, usage
from control_plane.admin import metrics as scrape
from control_plane.admin.answers import BASE
from control_plane.admin.guards import guard
from control_plane.admin.services import AdminServices
from control_plane.admission.abuse.blocks import Blocks, recorder
from control_plane.admission.abuse.judge import Judge, Round
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity.address import Addresses
from control_plane.admission.identity.directory import Directory
from control_plane.admission.identity.identity import Hooks, Identity
from control_plane.admission.identity.tokens import Tokens
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.offences import BadCredentials
from control_plane.admission.service import seed
from control_plane.admission.usage.customers import Customers
from control_plane.admission.usage.export import UsageExport
from control_plane.admission.usage.reading import Usage
from control_plane.records.audit import AuditLog
from control_plane.records.server import TIMEOUT_S
from control_plane.server import serve
from control_plane.settings import Settings
from control_plane.sockets import Inherited
from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.admission_metrics import AdmissionMetrics
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.logs import setup_logs
from control_plane.web.errors import on_error
from control_plane.web.frame import Frame
from control_plane.web.query import known_query

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 65_536
RESOURCES: Final = (
    tenants.HANDLERS,
    tiers.HANDLERS,
    keys.HANDLERS,
    blocks.HANDLERS,
    usage.HANDLERS,
    audit.HANDLERS,
)
"""What operators' keys open; each handler says in its ``opt`` which scope it asks for."""

_PRIVATE: Final = CacheControlHeader(no_store=True)


def create_admin_app(
    settings: Settings, *, metrics: AdmissionMetrics, access_log: AccessLog | None
) -> Frame:
    """Build the operators' application.

    Args:
        settings: As read at the start.
        metrics: Where blocks are counted.
        access_log: Told of every request but good ones of probes and scrapes.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_admin_services(settings, metrics) as services:
            app.state.services = services
            app.state.openapi = msgspec.json.encode(openapi.document(app.routes))
            yield

    handlers = [handler for resource in RESOURCES for handler in resource]
    app = Litestar(
        route_handlers=[
            scrape.metrics,
            scrape.healthz,
            openapi.openapi_json,
            Router(BASE, route_handlers=handlers, guards=[guard], cache_control=_PRIVATE),
        ],
        lifespan=[lifespan],
        before_request=known_query,
        exception_handlers={Exception: on_error},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY_BYTES,
    )
    return Frame(app, access_log, quiet=frozenset({"/metrics", "/healthz"}))


@asynccontextmanager
async def open_admin_services(
    settings: Settings, metrics: AdmissionMetrics
) -> AsyncIterator[AdminServices]:
    """Open everything, yield the services, close everything.

    A server that is away does not stop the start: it is asked again at each request.
    """
    async with AsyncExitStack() as opened:
        records = _client(opened, settings.redis_url)
        limits = _client(opened, settings.limits_redis_url or settings.redis_url)
        http = await opened.enter_async_context(httpx.AsyncClient())
        link = Link(settings.limits_redis_url or settings.redis_url)
        opened.callback(link.close)
        bad = BadCredentials(Ledger(link))
        opened.push_async_callback(bad.close)
        directory = Directory(records)
        await directory.start()
        opened.push_async_callback(directory.close)
        store = Store(records)
        seeding = asyncio.create_task(seed(store))
        opened.callback(seeding.cancel)
        blocks_ = Blocks(limits, recorder(records), settings.abuse_rules.forgive_s)
        judge = Judge(limits, blocks_, settings.abuse_rules, partial(_count, metrics))
        judging = asyncio.create_task(judge.run())
        opened.callback(judging.cancel)
        customers, used = Customers(records), Usage(limits)
        yield AdminServices(
            store=store,
            audit=AuditLog(records),
            blocks=blocks_,
            customers=customers,
            usage=used,
            exports=UsageExport(customers, used),
            identity=_identity(settings, directory, store, http, bad),
            key_pepper=settings.key_pepper,
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


def _identity(
    settings: Settings,
    directory: Directory,
    store: Store,
    http: httpx.AsyncClient,
    bad: BadCredentials,
) -> Identity:
    """Access tokens open nothing here, so that no provider is known and none is asked."""
    return Identity(
        directory,
        Tokens((), http),
        Addresses(settings.trusted_proxies),
        Hooks(store.provision, lambda network, _: bad.note(network), bad.slowed),
        key_pepper=settings.key_pepper,
        bootstrap_admin_key=settings.bootstrap_admin_key,
    )


def run_admin(inherited: Inherited, settings: Settings) -> None:
    """Serve the operators' application until SIGTERM or SIGINT.

    Args:
        inherited: Where to serve, and whom to tell.
        settings: As read at the start.
    """
    setup_logs()
    access_log = AccessLog(1) if settings.access_log else None

    def refused(exchange: Exchange) -> None:
        if access_log is not None:
            access_log.write(exchange, time.perf_counter() - exchange.started)

    try:
        app = create_admin_app(settings, metrics=AdmissionMetrics(REGISTRY), access_log=access_log)
        serve(app, inherited, settings, threading.Event(), refused)
    finally:
        if access_log is not None:
            access_log.close()
