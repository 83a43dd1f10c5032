"""What a request for a prediction or a job says: by its path, its headers and its body."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar.types import HTTPScope, Receive
from msgspec import Struct

from control_plane.admission.principal import Principal
from control_plane.api.request import (
    MAX_BODY_S,
    check_query,
    check_size,
    decoded,
    read_body,
    read_selector,
    read_timeout_ms,
)
from control_plane.contracts.envelope import asks_for_a_job
from control_plane.errors import TidegateError
from control_plane.problem import JSON
from control_plane.services import Services

MEDIA_TYPES: Final = {
    1: b"application/vnd.tidegate.v1+json",
    2: b"application/vnd.tidegate.v2+json",
}
_VENDOR: Final = re.compile(rb"application/vnd\.tidegate\.v([0-9]{1,6})\+json")
_QUALITY: Final = re.compile(rb"q=([01](?:\.[0-9]{0,3})?)")
MAX_RANGES: Final = 32


class PredictRoute(Struct, frozen=True):
    """Which prediction, or submission of a job, a path means.

    Attributes:
        template: The path's template, for logs and metrics.
        major: API major; 0 if Accept decides.
        model: Public name of the model, if the path names one.
        is_job: True for the submission of a job.
    """

    template: str
    major: int
    model: str | None = None
    is_job: bool = False


class Asked(Struct, frozen=True):
    """A request, once it has arrived.

    Attributes:
        route: What it is for.
        major: API major of the answer.
        media_type: Of the answer.
        timeout_ms: The client's own deadline, milliseconds; None without one.
        selector: Version or alias that the header names; None without one.
        sent: The decoded body.
        size: Of the body, bytes.
        headers: By lower-case name.
        is_plain: True of a prediction that asks for no more than its answer at once.
    """

    route: PredictRoute
    major: int
    media_type: bytes
    timeout_ms: int | None
    selector: str | None
    sent: Any
    size: int
    headers: dict[bytes, bytes]
    is_plain: bool


_EXACT: Final = {
    "/api/v1/predict": PredictRoute("/api/v1/predict", 1),
    "/api/v2/predict": PredictRoute("/api/v2/predict", 2),
    "/api/predict": PredictRoute("/api/predict", 0),
}
_BASES: Final = {
    "/api/v1/models/": ("/api/v1/models/{model}/predict", 1),
    "/api/v2/models/": ("/api/v2/models/{model}/predict", 2),
}
_JOBS: Final = PredictRoute("/api/v1/jobs", 1, is_job=True)
_JOBS_OF: Final = "/api/v1/models/{model}/jobs"
TEMPLATES: Final = (
    *_EXACT, *(template for template, _ in _BASES.values()), _JOBS.template, _JOBS_OF,
)  # fmt: skip
"""Every path that is answered here, with POST."""


def match(method: str, path: str) -> PredictRoute | None:
    """The prediction or submission that a request means, or None if it means something else."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    if path.endswith("/predict"):
        base = _BASES.get(path[:15])
        model = path[15:-8]
        if base is None or not model or "/" in model:
            return None
        return PredictRoute(base[0], base[1], model)
    return _submission(method, path) if path.endswith("/jobs") else None


def _submission(method: str, path: str) -> PredictRoute | None:
    if path == _JOBS.template:
        return _JOBS if method == "POST" else None
    model = path[15:-5]
    if not path.startswith("/api/v1/models/") or not model or "/" in model:
        return None
    return PredictRoute(_JOBS_OF, 1, model, is_job=True)


async def read(
    services: Services,
    principal: Principal,
    route: PredictRoute,
    scope: HTTPScope,
    headers: dict[bytes, bytes],
    receive: Receive,
) -> Asked:
    """Read a request.

    Raises:
        TidegateError: Any error of the request but those of its values.
        ClientGone: If the client went away.
    """
    if scope["method"] != "POST":
        raise TidegateError(
            f"{'Jobs' if route.is_job else 'Predictions'} are made with POST",
            code="METHOD_NOT_ALLOWED",
            headers={"allow": "POST"},
        )
    major, media_type = _negotiate(route, headers)
    check_query(scope, explain=not route.is_job)
    timeout_ms = read_timeout_ms(headers)
    body_s = MAX_BODY_S if timeout_ms is None else timeout_ms / 1000
    body = await read_body(headers, receive, _max_bytes(services, principal), body_s)
    sent = decoded(body)
    selector = read_selector(headers)
    is_plain = not (
        b"prefer" in headers
        or b"idempotency-key" in headers
        or route.is_job
        or asks_for_a_job(sent)
    )
    return Asked(route, major, media_type, timeout_ms, selector, sent, len(body), headers, is_plain)


def check_arrived(services: Services, principal: Principal, asked: Asked) -> None:
    """Refuse a body that is larger than who sent it may send, now that this is known for sure.

    Raises:
        TidegateError: PAYLOAD_TOO_LARGE.
    """
    check_size(asked.size, _max_bytes(services, principal))


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
