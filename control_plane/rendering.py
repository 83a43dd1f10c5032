"""From predictions to the JSON that clients read, the same at once and as the result of a job."""

from __future__ import annotations

from typing import Final

import msgspec

from control_plane.pipeline import Prediction

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
                "rollout": prediction.rollout,
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
