"""What surrounds an answer of a Litestar application: ids and the line in the access log."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send

from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.ids import client_request_id, new_request_id
from control_plane.web.answering import answering
from control_plane.wire import GONE

CLIENT_CLOSED_REQUEST: Final = 499
"""What the log says of a request whose client went away; no answer has this status."""


class Frame:
    """An ASGI application around another: the same answers, with ids and a line in the log.

    It leaves the request's :class:`Exchange` in ``scope["state"]["exchange"]``. What answers GET
    answers HEAD, too: the server leaves the body out.

    Attributes:
        app: The other.
    """

    def __init__(
        self, app: Litestar, access_log: AccessLog | None, quiet: frozenset[str] = frozenset()
    ) -> None:
        """Wrap an application.

        Args:
            app: Answers.
            access_log: Told of every request; None for no log.
            quiet: Routes whose good answers are not logged, such as those of probes.
        """
        self.app = app
        self._access_log = access_log
        self._quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event stream, as ASGI asks."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        exchange = _open(scope)
        try:
            await self._answer(scope, receive, send, exchange)
        except asyncio.CancelledError as error:
            if error.args != (GONE,):
                raise
            exchange.status = CLIENT_CLOSED_REQUEST
        finally:
            if self._access_log is not None and not self._is_quiet(exchange):
                self._access_log.write(exchange, time.perf_counter() - exchange.started)

    async def _answer(
        self, scope: HTTPScope, receive: Receive, send: Send, exchange: Exchange
    ) -> None:
        state: dict[str, Any] = scope.setdefault("state", {})
        state["exchange"] = exchange

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, answering(self.app, scope, send, exchange, frozenset()))
        template = scope.get("path_template")
        if template:
            exchange.route = str(template)

    def _is_quiet(self, exchange: Exchange) -> bool:
        return exchange.status == 200 and exchange.route in self._quiet


def _open(scope: HTTPScope) -> Exchange:
    own = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
    return Exchange(new_request_id(), client_request_id(own), scope["method"], time.perf_counter())
