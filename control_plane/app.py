"""Composition root of the public HTTP application."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Request
from prometheus_client import REGISTRY

from control_plane import memory
from control_plane.api import catalog, health, openapi, reference
from control_plane.api.errors import on_error
from control_plane.api.front import Front
from control_plane.errors import InvalidParameter
from control_plane.lifespan import open_services
from control_plane.server import serve
from control_plane.settings import Settings
from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.logs import setup_logs
from control_plane.telemetry.metrics import Metrics


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
            app.state.openapi = msgspec.json.encode(openapi.document(services.pipeline))
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
            reference.openapi_json,
            reference.docs_page,
            reference.docs_asset,
        ],
        lifespan=[lifespan],
        before_request=_known_query,
        exception_handlers={Exception: on_error},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=settings.max_body_bytes,
    )
    app.state.draining = draining
    return Front(app, access_log)


def _known_query(request: Request[Any, Any, Any]) -> None:
    """Refuse query parameters that the handler does not have."""
    known = request.route_handler.parsed_fn_signature.parameters.keys() - {"state", "request"}
    given = request.query_params
    for name in given:
        if name not in known or name in request.path_params:
            raise InvalidParameter(name[:64], "is no parameter of this resource")
        if len(given.getall(name)) > 1:
            raise InvalidParameter(name[:64], "stands twice")


def run_http(fd: int, settings: Settings) -> None:
    """Serve the public application on a listening socket until SIGTERM or SIGINT.

    Args:
        fd: File descriptor of the socket.
        settings: As read at the start.
    """
    setup_logs()
    access_log = AccessLog(1) if settings.access_log else None
    draining = threading.Event()
    app = create_app(settings, metrics=Metrics(REGISTRY), draining=draining, access_log=access_log)
    try:
        serve(app, fd, settings, draining)
    finally:
        if access_log is not None:
            access_log.close()
