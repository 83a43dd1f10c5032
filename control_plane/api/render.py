"""From predictions to the headers of an HTTP response."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache

from control_plane.pipeline import Prediction
from control_plane.problem import Headers
from control_plane.routing.catalog import Notice


def prediction_headers(prediction: Prediction) -> Headers:
    """Version, rollout, notices, warnings (RFC 8941 list) and Server-Timing of an answer."""
    headers: Headers = [
        (b"x-model-version", prediction.version.encode()),
        (
            b"server-timing",
            b"admission;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f"
            % (
                prediction.admission_s * 1000,
                prediction.queue_s * 1000,
                prediction.inference_s * 1000,
            ),
        ),
    ]
    if prediction.rollout is not None:
        headers.append((b"x-rollout", prediction.rollout.encode()))
    if prediction.notice is not None:
        headers += notice_headers(prediction.model, prediction.notice)
    if prediction.answer.warnings:
        listed = ", ".join(
            f'{warned.code};message="{_quoted(warned.message)}"'
            for warned in prediction.answer.warnings
        )
        headers.append((b"x-warnings", listed.encode("ascii")))
    return headers


@lru_cache(maxsize=256)
def notice_headers(model: str, notice: Notice) -> tuple[tuple[bytes, bytes], ...]:
    """Deprecation (RFC 9745), Sunset (RFC 8594) and Link (RFC 8288) of a deprecated version."""
    card = f"/api/v1/models/{model}"
    links = [f'<{notice.info or card}>; rel="deprecation"']
    if notice.successor is not None:
        links.append(f'<{card}/schema?version={notice.successor}>; rel="successor-version"')
    headers = [(b"deprecation", b"@%d" % notice.deprecated_at)]
    if notice.sunset_at:
        headers.append((b"sunset", formatdate(notice.sunset_at, usegmt=True).encode()))
        links.append(f'<{notice.info or card}>; rel="sunset"')
    return (*headers, (b"link", ", ".join(links).encode()))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
