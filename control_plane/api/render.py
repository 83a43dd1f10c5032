"""From predictions to the bytes of an HTTP response."""

from __future__ import annotations

from typing import Final

import msgspec

from control_plane.pipeline import Prediction
from control_plane.problem import Headers

_encode: Final = msgspec.json.Encoder().encode


def prediction_v1(prediction: Prediction, request_id: str) -> bytes:
    """The flat answer of API v1, whose shape stays for ever."""
    return _encode(
        {
            **prediction.answer.flat,
            "model": prediction.model,
            "model_version": prediction.version,
            "request_id": request_id,
        }
    )


def prediction_v2(prediction: Prediction, request_id: str) -> bytes:
    """The structured answer of API v2."""
    return _encode(
        {
            "data": prediction.answer.data,
            "model": {
                "name": prediction.model,
                "version": prediction.version,
                "rollout": None,
            },
            "usage": {"units": prediction.units},
            "timing": {
                "admission_ms": round(prediction.admission_s * 1000, 3),
                "queue_ms": round(prediction.queue_s * 1000, 3),
                "inference_ms": round(prediction.inference_s * 1000, 3),
            },
            "warnings": [
                {"code": warned.code, "message": warned.message}
                for warned in prediction.answer.warnings
            ],
            "request_id": request_id,
        }
    )


def prediction_headers(prediction: Prediction) -> Headers:
    """Version, warnings (RFC 8941 list) and Server-Timing of an answer."""
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
    if prediction.answer.warnings:
        listed = ", ".join(
            f'{warned.code};message="{_quoted(warned.message)}"'
            for warned in prediction.answer.warnings
        )
        headers.append((b"x-warnings", listed.encode("ascii")))
    return headers


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
