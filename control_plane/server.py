"""The HTTP server: uvicorn on an inherited socket, draining before it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from types import FrameType

import uvicorn
from litestar.types import ASGIApp

from control_plane.settings import Settings
from control_plane.wire import EnvelopeProtocol

BACKLOG = 4096


class Server(uvicorn.Server):
    """Uvicorn that turns readiness down first and stops accepting after a delay."""

    def __init__(self, config: uvicorn.Config, draining: threading.Event, delay_s: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._delay_s = delay_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal, or no delay, stops accepting at once."""
        if self._draining.is_set() or self._delay_s == 0 or sig == signal.SIGINT:
            self._draining.set()
            super().handle_exit(sig, frame)
            return
        self._draining.set()
        asyncio.get_event_loop().call_later(self._delay_s, super().handle_exit, sig, frame)


def serve(app: ASGIApp, fd: int, settings: Settings, draining: threading.Event) -> None:
    """Serve an application on a listening socket until SIGTERM or SIGINT.

    Args:
        app: The application.
        fd: File descriptor of the socket.
        settings: As read at the start.
        draining: Set when the stop is asked for.
    """
    config = uvicorn.Config(
        app,
        http=EnvelopeProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)  # noqa: FBT003 - the method takes no keyword
    server = Server(config, draining, settings.drain_delay_s)
    server.run(sockets=[listener])
