"""From predictions to the JSON that clients read, the same at once and as the result of a job."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from control_plane.contracts.answers import Answer
from control_plane.pipeline import Prediction

_encode: Final = msgspec.json.Encoder().encode


class MadeBy(Protocol):
    """Who made a result, and its price."""

    @property
    def model(self) -> str:
        """Public name of the model."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def units(self) -> int:
        """Price in units of quota."""


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
            "warnings": _warnings(prediction.answer),
            "request_id": request_id,
        }
    )


def item_v1(index: int, answer: Answer) -> dict[str, Any]:
    """One result of a batch in API v1."""
    return {"index": index, **answer.flat}


def item_v2(index: int, answer: Answer) -> dict[str, Any]:
    """One result of a batch in API v2."""
    return {"index": index, "data": answer.data, "warnings": _warnings(answer)}


def whole_v1(made_by: MadeBy, fields: dict[str, Any], request_id: str) -> bytes:
    """What came of many inputs, in API v1: a batch, or a large file."""
    return _encode(
        {
            **fields,
            "model": made_by.model,
            "model_version": made_by.version,
            "request_id": request_id,
        }
    )


def whole_v2(made_by: MadeBy, fields: dict[str, Any], request_id: str) -> bytes:
    """What came of many inputs, in API v2: a batch, or a large file."""
    return _encode(
        {
            "data": fields,
            "model": {"name": made_by.model, "version": made_by.version, "rollout": None},
            "usage": {"units": made_by.units},
            "warnings": [],
            "request_id": request_id,
        }
    )


def _warnings(answer: Answer) -> list[dict[str, str]]:
    return [{"code": warned.code, "message": warned.message} for warned in answer.warnings]
