"""The first and the last to touch a request: ids, the error envelope, log and metrics.

Predictions and objects go straight to their functions. Everything else goes through Litestar,
whose routing and response classes cost more than all of a prediction's own work
(docs/decisions/0003).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send

from control_plane import problem
from control_plane.admission.limits.permit import Permit
from control_plane.api import asked as requests
from control_plane.api import objects, predict, uncommon
from control_plane.api.request import ClientGone, read_headers
from control_plane.api.visit import READ, admit, charged, identify, leave, watch
from control_plane.errors import ModelUnavailable, TidegateError
from control_plane.services import Services
from control_plane.telemetry.access_log import AccessLog
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.ids import client_request_id, new_request_id
from control_plane.web.answering import answering
from control_plane.wire import GONE, answer

log = logging.getLogger(__name__)

_GUARDED: Final = ("/api/", "/openapi.json")
"""Paths whose visitors are known and counted; probes and the reference page's files are open."""

WATCHED_ITEMS: Final = 8
"""Items of a batch that the watch is shown."""

TRUSTED_S: Final = 0.5
"""Seconds after which a caller is asked for again once the body of a prediction is there."""

CLIENT_CLOSED_REQUEST = 499
"""What log and metrics say of a request whose client went away; no answer has this status."""


_BESIDE: Final = frozenset(requests.TEMPLATES)


class Front:
    """The ASGI application.

    Attributes:
        litestar: Answers everything but predictions.
    """

    def __init__(self, litestar: Litestar, access_log: AccessLog | None) -> None:
        """Wrap an application.

        What answers GET answers HEAD, too: the server leaves the body out.

        Args:
            litestar: Its lifespan leaves :class:`Services` in ``state.services``.
            access_log: Told of every request; None for no log.
        """
        self.litestar = litestar
        self._access_log = access_log
        self._services: Services | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event stream, as ASGI asks."""
        if scope["type"] != ScopeType.HTTP:
            await self.litestar(scope, receive, send)
            return
        services = self._services
        if services is None:
            services = self._services = self.litestar.state.services
        exchange = _open(scope)
        route = requests.match(scope["method"], scope["path"])
        try:
            if objects.match(scope["path"]):
                exchange.route = objects.TEMPLATE
                await self._object(services, scope, receive, send, exchange)
            elif route is None:
                await self._other(services, scope, receive, send, exchange)
            else:
                exchange.route = route.template
                await self._predict(services, route, scope, receive, send, exchange)
        except ClientGone:
            exchange.status = CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError as error:
            if error.args != (GONE,):
                raise
            exchange.status = CLIENT_CLOSED_REQUEST
        finally:
            seconds = time.perf_counter() - exchange.started
            services.metrics.request(exchange, seconds)
            if self._access_log is not None and not _is_probe(exchange):
                self._access_log.write(exchange, seconds)

    async def _predict(
        self,
        services: Services,
        route: requests.PredictRoute,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        exchange: Exchange,
    ) -> None:
        headers: dict[bytes, bytes] = {}
        principal = None
        try:
            headers = read_headers(scope)
            principal = await identify(services, headers, scope, exchange)
            asked = await requests.read(services, principal, route, scope, headers, receive)
            if time.perf_counter() - exchange.started > TRUSTED_S:
                principal = None
                principal = await identify(services, headers, scope, exchange)
            if asked.is_plain:
                body, answer_headers = await predict.predict(services, principal, asked, exchange)
                status = 200
            else:
                answered = await uncommon.answer(services, principal, asked, exchange)
                status, body, answer_headers = answered
            watch(services, principal, headers, scope, status, _inputs(asked), asked.size)
        except TidegateError as error:
            shown = await charged(services, principal, error, exchange)
            status, body, answer_headers = _failed(shown, exchange, headers)
        except ClientGone:
            raise
        except asyncio.CancelledError as error:
            if error.args == (GONE,):
                raise
            late = ModelUnavailable("The server is shutting down")
            status, body, answer_headers = _failed(late, exchange, headers)
        except Exception:
            log.exception("request failed", extra={"request_id": exchange.request_id})
            failure = TidegateError("The server failed")
            status, body, answer_headers = _failed(failure, exchange, headers)
        await _answer(send, status, body, answer_headers, exchange)
        if principal is not None and status >= 400:
            watch(services, principal, headers, scope, status)

    async def _object(
        self,
        services: Services,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        exchange: Exchange,
    ) -> None:
        headers: dict[bytes, bytes] = {}
        try:
            headers = read_headers(scope)
            body, answer_headers = await objects.put(services, scope, headers, receive, exchange)
            status = 201
        except TidegateError as error:
            shown = await objects.counted(services, scope, headers, error, exchange)
            status, body, answer_headers = _failed(shown, exchange, headers)
        except Exception:
            log.exception("request failed", extra={"request_id": exchange.request_id})
            failure = TidegateError("The server failed", headers=objects.CLOSE)
            status, body, answer_headers = _failed(failure, exchange, headers)
        await _answer(send, status, body, answer_headers, exchange)

    async def _other(
        self,
        services: Services,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        exchange: Exchange,
    ) -> None:
        state: dict[str, Any] = scope.setdefault("state", {})
        state["exchange"] = exchange
        permit: Permit | None = None
        is_folded = "//" in scope["path"]
        if is_folded or scope["path"].startswith(_GUARDED):
            headers: dict[bytes, bytes] = {}
            try:
                headers = read_headers(scope)
                principal = state["principal"] = await identify(services, headers, scope, exchange)
                if is_folded:
                    raise await charged(services, principal, _no_resource(), exchange)
                permit = await admit(services, principal, READ, exchange)
                state["permit"] = permit
            except TidegateError as error:
                await _answer(send, *_failed(error, exchange, headers), exchange)
                return

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            answer_with_ids = answering(self.litestar, scope, send, exchange, _BESIDE)
            await self.litestar(scope, receive, answer_with_ids)
        finally:
            if permit is not None:
                leave(services, state["principal"], permit, scope["path"], exchange.status)
        template = scope.get("path_template")
        if template:
            exchange.route = str(template)


def _inputs(asked: requests.Asked) -> Sequence[Mapping[str, Any]]:
    """What the watch may look at: the inputs, or the first of a batch."""
    inputs = asked.sent["inputs"]
    return inputs[:WATCHED_ITEMS] if isinstance(inputs, list) else (inputs,)


def _no_resource() -> TidegateError:
    """Of paths with an empty segment, which Litestar would fold to one that is there."""
    return TidegateError("There is no such resource", code="NOT_FOUND")


async def _answer(
    send: Send, status: int, body: bytes, headers: problem.Headers, exchange: Exchange
) -> None:
    exchange.status = status
    headers += problem.exchange_headers(exchange)
    headers.append((b"content-length", b"%d" % len(body)))
    await answer(send, status, headers, body)


def _is_probe(exchange: Exchange) -> bool:
    """True for a good answer to a health probe, of which a log would be full."""
    return exchange.status == 200 and exchange.route in {"/healthz", "/ready"}


def _open(scope: HTTPScope) -> Exchange:
    own = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
    return Exchange(new_request_id(), client_request_id(own), scope["method"], time.perf_counter())


def _failed(
    error: TidegateError, exchange: Exchange, headers: dict[bytes, bytes]
) -> tuple[int, bytes, problem.Headers]:
    exchange.error = error.code
    asked = problem.wants_problem(headers.get(b"accept", b""))
    body = problem.error_body(error, exchange, problem=asked)
    answer_headers = [(b"content-type", problem.PROBLEM if asked else problem.JSON)]
    answer_headers += [(key.encode(), value.encode()) for key, value in error.headers.items()]
    return error.status, body, answer_headers
