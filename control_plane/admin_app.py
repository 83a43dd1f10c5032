"""Composition root of the operators' HTTP application."""

from __future__ import annotations

import threading

from litestar import Litestar

from control_plane.admin.metrics import healthz, metrics
from control_plane.server import serve
from control_plane.settings import Settings
from control_plane.telemetry.logs import setup_logs


def run_admin(fd: int, settings: Settings) -> None:
    """Serve the operators' application on a listening socket until SIGTERM or SIGINT."""
    setup_logs()
    app = Litestar(route_handlers=[metrics, healthz], openapi_config=None, logging_config=None)
    serve(app, fd, settings, threading.Event())
