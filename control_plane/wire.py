"""The bytes of HTTP: one write an answer, and the envelope for what is no HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from control_plane.errors import MalformedRequest, TidegateError
from control_plane.problem import Headers, error_body
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.ids import new_request_id

GONE: Final = "the client has gone"
"""Message of the cancellation of a request whose client went away."""


Refused = Callable[[Exchange], None]
"""Told of each request that is answered here, beside the application."""


MAX_HEAD_BYTES: Final = 65_536
_CLOSE: Final = (b"connection", b"close")


class JoinedWrites:
    """A transport that sends the head of an answer together with the body that follows it.

    Uvicorn writes them apart, which costs a system call here and a second read at the client. A
    head without a body in the same turn of the event loop goes out at the turn's end.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold the first write of a turn, send the second with it."""
        held = self._held
        if held is None:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._held = None
            self._transport.write(held + data)

    def write_whole(self, data: bytes) -> None:
        """Send at once, after what is held."""
        held, self._held = self._held, None
        self._transport.write(data if held is None else held + data)

    def close(self) -> None:
        """Send what is held and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)


async def answer(
    send: Callable[[Any], Awaitable[None]], status: int, headers: Headers, body: bytes
) -> None:
    """Send a whole answer, whose headers are ours and carry its length.

    Through uvicorn's ``send``, which checks each header with two patterns and writes twice, a
    prediction's answer costs 20 µs more.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle) or not _answered(cycle, status, headers, body):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _answered(cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
    """Do what the two messages of an answer do, unless it has to wait or to be looked at."""
    if cycle.flow.write_paused or cycle.response_started or cycle.scope["method"] == "HEAD":
        return False
    lines = [b"%b: %b\r\n" % pair for pair in (*cycle.default_headers, *headers)]
    if not cycle.keep_alive or _CLOSE in headers:
        cycle.keep_alive = False
        if _CLOSE not in headers:
            lines.append(b"connection: close\r\n")
    head = b"".join((STATUS_LINE[status], *lines, b"\r\n"))
    if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2:
        return False
    if not cycle.disconnected:
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write_whole(head + body)  # type: ignore[attr-defined]
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
    return True


class EnvelopeProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 protocol with joined writes, the error envelope and cancellation.

    A client that goes away cancels its request, whose task then gets ``CancelledError(GONE)``:
    what waits is dropped, and a call that nobody else shares is cancelled in Triton.
    """

    _request: asyncio.Task[None] | None = None
    _serving: RequestResponseCycle | None = None
    _head_bytes = 0
    _in_head = True
    _boundary = False

    def __init__(self, *args: Any, refused: Refused, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._refused = refused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse a head that does not end within 64 KiB."""
        self._boundary = False
        super().data_received(data)
        if self._boundary or not self._in_head:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            message = f"The head of the request is larger than {MAX_HEAD_BYTES} bytes"
            self._refuse(TidegateError(message, code="HEADERS_TOO_LARGE"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what follows a chunked body (trailers) is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._in_head = False
        self._boundary = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request; the next bytes are another's head."""
        super().on_message_complete()
        self._in_head = True
        self._boundary = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what the client that has gone still waited for."""
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        super().connection_lost(exc)
        for cycle in (*waiting, self._serving):
            if cycle is not None:
                cycle.disconnected = True
        if self._request is not None:
            self._request.cancel(GONE)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """As in the base class, which keeps the task from us."""
        self._serving = cycle
        self._request = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _unsupported_upgrade_warning(self) -> None:
        """Refuse an upgrade that comes with a body, of which nobody knows where it ends."""
        names = {name for name, _ in self.headers}
        if names & {b"content-length", b"transfer-encoding"}:
            self._refuse(MalformedRequest("Upgrade is not offered: leave the header out"))

    def send_400_response(self, msg: str) -> None:
        """Answer 400 in the envelope and close the connection."""
        self._refuse(MalformedRequest("The bytes sent are not a valid HTTP request"))

    def _refuse(self, error: TidegateError) -> None:
        """Answer an error beside the application and close the connection."""
        if self.transport.is_closing():
            return
        if self._request is not None:
            self._request.cancel(GONE)
        exchange = Exchange(new_request_id(), None, "", time.perf_counter())
        body = error_body(error, exchange, problem=False)
        head = (
            b"HTTP/1.1 %d %s\r\n"
            b"content-type: application/json\r\n"
            b"connection: close\r\n"
            b"x-request-id: %s\r\n"
            b"content-length: %d\r\n\r\n"
        )
        reason = HTTPStatus(error.status).phrase.encode()
        filled = head % (error.status, reason, exchange.request_id.encode(), len(body))
        self.transport.write(filled + body)
        self.transport.close()
        exchange.status, exchange.error = error.status, error.code
        self._refused(exchange)
