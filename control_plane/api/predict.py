"""Predictions over HTTP: v1, v2, and by media type."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar.types import HTTPScope, Receive
from msgspec import Struct

from control_plane.admission.principal import Principal
from control_plane.api.render import prediction_headers
from control_plane.api.request import (
    MAX_BODY_S,
    check_query,
    check_size,
    decoded,
    read_body,
    read_selector,
    read_timeout_ms,
)
from control_plane.choice import PredictCall
from control_plane.errors import TidegateError
from control_plane.problem import JSON, Headers
from control_plane.rendering import prediction_v1, prediction_v2
from control_plane.services import Services
from control_plane.telemetry.exchange import Exchange

MEDIA_TYPES: Final = {
    1: b"application/vnd.tidegate.v1+json",
    2: b"application/vnd.tidegate.v2+json",
}
_VENDOR: Final = re.compile(rb"application/vnd\.tidegate\.v([0-9]{1,6})\+json")
_QUALITY: Final = re.compile(rb"q=([01](?:\.[0-9]{0,3})?)")
MAX_RANGES: Final = 32
_RENDER: Final = {1: prediction_v1, 2: prediction_v2}


class PredictRoute(Struct, frozen=True):
    """Which prediction a path means.

    Attributes:
        template: The path's template, for logs and metrics.
        major: API major; 0 if Accept decides.
        model: Public name of the model, if the path names one.
    """

    template: str
    major: int
    model: str | None = None


class Asked(Struct, frozen=True):
    """A prediction's request, once it has arrived.

    Attributes:
        route: Which prediction.
        major: API major of the answer.
        media_type: Of the answer.
        timeout_ms: The client's own deadline, milliseconds; None without one.
        selector: Version or alias that the header names; None without one.
        sent: The decoded body.
        size: Of the body, bytes.
        headers: By lower-case name.
    """

    route: PredictRoute
    major: int
    media_type: bytes
    timeout_ms: int | None
    selector: str | None
    sent: Any
    size: int
    headers: dict[bytes, bytes]


_EXACT: Final = {
    "/api/v1/predict": PredictRoute("/api/v1/predict", 1),
    "/api/v2/predict": PredictRoute("/api/v2/predict", 2),
    "/api/predict": PredictRoute("/api/predict", 0),
}
_BASES: Final = {
    "/api/v1/models/": ("/api/v1/models/{model}/predict", 1),
    "/api/v2/models/": ("/api/v2/models/{model}/predict", 2),
}


def match(path: str) -> PredictRoute | None:
    """The prediction that a path means, or None if it means something else."""
    exact = _EXACT.get(path)
    if exact is not None or not path.endswith("/predict"):
        return exact
    base = _BASES.get(path[:15])
    model = path[15:-8]
    if base is None or not model or "/" in model:
        return None
    return PredictRoute(base[0], base[1], model)


async def read(
    services: Services,
    principal: Principal,
    route: PredictRoute,
    scope: HTTPScope,
    headers: dict[bytes, bytes],
    receive: Receive,
) -> Asked:
    """Read a prediction's request.

    Raises:
        TidegateError: Any error of the request but those of its values.
        ClientGone: If the client went away.
    """
    if scope["method"] != "POST":
        raise TidegateError(
            "Predictions are made with POST",
            code="METHOD_NOT_ALLOWED",
            headers={"allow": "POST"},
        )
    major, media_type = _negotiate(route, headers)
    check_query(scope)
    timeout_ms = read_timeout_ms(headers)
    body_s = MAX_BODY_S if timeout_ms is None else timeout_ms / 1000
    body = await read_body(headers, receive, _max_bytes(services, principal), body_s)
    sent = decoded(body)
    selector = read_selector(headers)
    return Asked(route, major, media_type, timeout_ms, selector, sent, len(body), headers)


async def predict(
    services: Services, principal: Principal, asked: Asked, exchange: Exchange
) -> tuple[bytes, Headers]:
    """Answer a prediction.

    Args:
        services: Of this process.
        principal: Who asks; it need not be who asked when the body began to arrive.
        asked: See :func:`read`.
        exchange: Of the request.

    Returns:
        The body and the headers of a 200.

    Raises:
        TidegateError: Any error of the values or of the stages.
    """
    check_size(asked.size, _max_bytes(services, principal))
    prediction = await services.pipeline.predict(
        PredictCall(
            body=asked.sent,
            arrived=exchange.started,
            principal=principal,
            model=asked.route.model,
            selector=asked.selector,
            timeout_ms=asked.timeout_ms,
            routed=exchange.routed,
            admitted=exchange.admitted,
            request_id=exchange.request_id,
            headers=asked.headers,
        )
    )
    exchange.admission_s = prediction.admission_s
    exchange.queue_s = prediction.queue_s
    exchange.inference_s = prediction.inference_s
    exchange.shared = prediction.shared
    exchange.units = prediction.units
    answer_headers = [(b"content-type", asked.media_type), *prediction_headers(prediction)]
    if asked.route.major == 0:
        answer_headers.append((b"vary", b"accept"))
    return _RENDER[asked.major](prediction, exchange.request_id), answer_headers


def _max_bytes(services: Services, principal: Principal) -> int:
    return min(services.settings.max_body_bytes, principal.limits.max_body_bytes)


def _negotiate(route: PredictRoute, headers: dict[bytes, bytes]) -> tuple[int, bytes]:
    """The API major and the media type of the answer.

    Raises:
        TidegateError: NOT_ACCEPTABLE if Accept names only majors that do not exist.
    """
    if route.major:
        return route.major, JSON
    accept = headers.get(b"accept", b"").lower()
    for media_range in _preferred(accept):
        vendor = _VENDOR.fullmatch(media_range)
        if vendor is not None and int(vendor[1]) in MEDIA_TYPES:
            return int(vendor[1]), MEDIA_TYPES[int(vendor[1])]
        if media_range in {JSON, b"application/*", b"*/*"}:
            return 1, JSON
    if not _VENDOR.search(accept):
        return 1, JSON
    raise TidegateError(
        "There is no such API major",
        code="NOT_ACCEPTABLE",
        details={"available": [media_type.decode() for media_type in MEDIA_TYPES.values()]},
    )


def _preferred(accept: bytes) -> list[bytes]:
    """The media ranges of an Accept header but those of ``q=0``: API majors, then by quality."""
    ranges: list[tuple[float, bytes]] = []
    for part in accept.split(b",")[:MAX_RANGES]:
        media_range, *parameters = [piece.strip() for piece in part.split(b";")]
        quality = 1.0
        for parameter in parameters:
            match = _QUALITY.fullmatch(parameter)
            quality = float(match[1]) if match else quality
        if quality > 0:
            ranges.append((quality, media_range))
    ranges.sort(key=lambda pair: (_VENDOR.fullmatch(pair[1]) is None, -pair[0]))
    return [media_range for _, media_range in ranges]
