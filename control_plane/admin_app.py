"""Composition root of the operators' HTTP application."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from litestar import Litestar, Router
from litestar.datastructures import CacheControlHeader
from prometheus_client import REGISTRY

from control_plane.admin import (
    audit,
    blocks,
    jobs,
    keys,
    models,
    openapi,
    rollout_reports,
    rollouts,
    tenants,
    tiers,
    usage,
)
from control_plane.admin import metrics as scrape
from control_plane.admin.answers import BASE
from control_plane.admin.guards import guard
from control_plane.admin_lifespan import open_admin_services
from control_plane.server import serve
from control_plane.settings import Settings
from control_plane.sockets import Inherited
from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.admission_metrics import AdmissionMetrics
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.logs import setup_logs
from control_plane.telemetry.rollout_metrics import RolloutMetrics
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
    models.HANDLERS,
    rollouts.HANDLERS,
    rollout_reports.HANDLERS,
    jobs.HANDLERS,
    audit.HANDLERS,
)
"""What operators' keys open; each handler says in its ``opt`` which scope it asks for."""

_PRIVATE: Final = CacheControlHeader(no_store=True)


def create_admin_app(
    settings: Settings,
    *,
    metrics: AdmissionMetrics,
    rollouts_counted: RolloutMetrics,
    access_log: AccessLog | None,
) -> Frame:
    """Build the operators' application.

    Args:
        settings: As read at the start.
        metrics: Where blocks are counted.
        rollouts_counted: Where the verdicts on rollouts are.
        access_log: Told of every request but good ones of probes and scrapes.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_admin_services(settings, metrics, rollouts_counted) as services:
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
        app = create_admin_app(
            settings,
            metrics=AdmissionMetrics(REGISTRY),
            rollouts_counted=RolloutMetrics(REGISTRY),
            access_log=access_log,
        )
        serve(app, inherited, settings, threading.Event(), refused)
    finally:
        if access_log is not None:
            access_log.close()
