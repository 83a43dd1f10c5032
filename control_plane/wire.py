"""What is answered before there is a request: bytes that are no HTTP."""

from __future__ import annotations

import asyncio
import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from control_plane.errors import MalformedRequest
from control_plane.problem import error_body
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.ids import new_request_id


class EnvelopeProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 protocol with the error envelope for requests that cannot be parsed."""

    def send_400_response(self, msg: str) -> None:
        """Answer 400 in the envelope and close the connection."""
        exchange = Exchange(new_request_id(), None, "", time.perf_counter())
        error = MalformedRequest("The bytes sent are not a valid HTTP request")
        body = error_body(error, exchange, problem=False)
        head = (
            b"HTTP/1.1 400 Bad Request\r\n"
            b"content-type: application/json\r\n"
            b"connection: close\r\n"
            b"x-request-id: %s\r\n"
            b"content-length: %d\r\n\r\n"
        )
        transport: asyncio.Transport = self.transport
        transport.write(head % (exchange.request_id.encode(), len(body)) + body)
        transport.close()
