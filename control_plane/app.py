"""Composition root of the public HTTP application."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from prometheus_client import REGISTRY

from control_plane import memory
from control_plane.api import catalog, feedback, health, jobs, reference, uploads, usage, webhooks
from control_plane.api.front import Front
from control_plane.jobs.durability import ensure_durable_at
from control_plane.lifespan import open_services
from control_plane.server import serve
from control_plane.settings import Settings
from control_plane.sockets import Inherited
from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.logs import setup_logs
from control_plane.telemetry.metrics import Metrics
from control_plane.web.errors import on_error
from control_plane.web.query import known_query


def create_app(
    settings: Settings, *, metrics: Metrics, draining: threading.Event, access_log: AccessLog | None
) -> Front:
    """Build the public application.

    Args:
        settings: As read at the start.
        metrics: Where requests and calls are counted.
        draining: Set when the process is asked to stop; readiness then says so.
        access_log: Told of every request.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services(settings, metrics) as services:
            app.state.services = services
            memory.settle()
            yield

    app = Litestar(
        route_handlers=[
            health.healthz,
            health.ready,
            catalog.list_models,
            catalog.get_model,
            catalog.list_versions,
            catalog.get_schema,
            usage.get_usage,
            feedback.give_feedback,
            uploads.make_upload,
            uploads.list_uploads,
            uploads.get_upload,
            uploads.delete_upload,
            *webhooks.HANDLERS,
            jobs.list_jobs,
            jobs.get_job,
            jobs.cancel_job,
            jobs.follow_job,
            reference.openapi_json,
            reference.docs_page,
            reference.docs_asset,
        ],
        lifespan=[lifespan],
        before_request=known_query,
        exception_handlers={Exception: on_error},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=settings.max_body_bytes,
    )
    app.state.draining = draining
    return Front(app, access_log)


def run_http(inherited: Inherited, settings: Settings) -> None:
    """Serve the public application until SIGTERM or SIGINT.

    Args:
        inherited: Where to serve, and whom to tell.
        settings: As read at the start.

    Raises:
        InvalidSettings: If the system of record may not keep jobs.
    """
    setup_logs()
    ensure_durable_at(settings.redis_url, settings.jobs)
    access_log = AccessLog(1) if settings.access_log else None
    draining = threading.Event()
    metrics = Metrics(REGISTRY)
    app = create_app(settings, metrics=metrics, draining=draining, access_log=access_log)

    def refused(exchange: Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        metrics.request(exchange, seconds)
        if access_log is not None:
            access_log.write(exchange, seconds)

    try:
        serve(app, inherited, settings, draining, refused)
    finally:
        if access_log is not None:
            access_log.close()
