"""What every answer of Litestar's gets on its way out."""

from __future__ import annotations

from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import HTTPScope, Message, Send

from control_plane import problem
from control_plane.telemetry.exchange import Exchange


def answering(
    app: Litestar, scope: HTTPScope, send: Send, exchange: Exchange, beside: frozenset[str]
) -> Send:
    """A ``send`` that notes the status and adds the exchange's ids.

    To OPTIONS it also tells every method of the resource: of a path that several handlers share,
    Litestar names those of the first alone.

    Args:
        app: Answers.
        scope: Of the request.
        send: Takes the answer.
        exchange: Of the request.
        beside: Templates of paths whose POST is answered without Litestar.
    """

    async def send_with_ids(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = [*message["headers"], *problem.exchange_headers(exchange)]
            if scope["method"] == "OPTIONS":
                headers = _allowing(headers, app, scope, beside)
            message["headers"] = headers
        await send(message)

    return send_with_ids


def _allowing(
    headers: problem.Headers, app: Litestar, scope: HTTPScope, beside: frozenset[str]
) -> problem.Headers:
    template = scope.get("path_template")
    methods = {
        method
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format == template
        for method in route.methods
    }
    if not methods:
        return headers
    if template in beside:
        methods.add("POST")
    kept = [(name, value) for name, value in headers if name.lower() != b"allow"]
    return [*kept, (b"allow", ", ".join(sorted(methods)).encode())]
