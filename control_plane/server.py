"""The HTTP server: uvicorn at an inherited address, draining before it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from functools import partial
from types import FrameType

import uvicorn
from litestar.types import ASGIApp

from control_plane.settings import Settings
from control_plane.sockets import Inherited, tell_ready, to_serve_on
from control_plane.telemetry.exchange import Exchange
from control_plane.wire import EnvelopeProtocol, Refused

BACKLOG = 4096


def _nothing(_: Exchange) -> None:
    pass


class Server(uvicorn.Server):
    """Uvicorn that says when it accepts, and turns readiness down before it stops accepting."""

    def __init__(
        self,
        config: uvicorn.Config,
        draining: threading.Event,
        delay_s: float,
        ready: int | None,
    ) -> None:
        super().__init__(config)
        self._draining = draining
        self._delay_s = delay_s
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, listen, and say so."""
        await super().startup(sockets)
        tell_ready(self._ready)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal, or no delay, stops accepting at once."""
        if self._draining.is_set() or self._delay_s == 0 or sig == signal.SIGINT:
            self._draining.set()
            super().handle_exit(sig, frame)
            return
        self._draining.set()
        asyncio.get_event_loop().call_later(self._delay_s, super().handle_exit, sig, frame)


def serve(
    app: ASGIApp,
    inherited: Inherited,
    settings: Settings,
    draining: threading.Event,
    refused: Refused = _nothing,
) -> None:
    """Serve an application until SIGTERM or SIGINT; it is started before the address is.

    Args:
        app: The application.
        inherited: Where to serve, and whom to tell.
        settings: As read at the start.
        draining: Set when the stop is asked for.
        refused: Told of requests that are answered beside the application.
    """
    config = uvicorn.Config(
        app,
        http=partial(EnvelopeProtocol, refused=refused),  # type: ignore[arg-type]
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
    listener = to_serve_on(inherited)
    listener.setblocking(False)  # noqa: FBT003 - the method takes no keyword
    server = Server(config, draining, settings.drain_delay_s, inherited.ready)
    server.run(sockets=[listener])
