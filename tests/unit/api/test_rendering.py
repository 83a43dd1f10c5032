"""Predictions as bytes: v1 flat, v2 structured, and their headers."""

from __future__ import annotations

import msgspec

from control_plane.api import render
from control_plane.contracts.answers import AnswerDecoder
from control_plane.contracts.document import AnswerSpec, WarningSpec
from control_plane.pipeline import Prediction
from control_plane.rendering import prediction_v1, prediction_v2

FLAT = {"prediction": "good", "confidence": 0.75}
FURTHER = {"probabilities": {"bad": 0.25, "good": 0.75}}
DATA = FLAT | FURTHER


def prediction(**warnings: str) -> Prediction:
    """A prediction with these warnings, message by code."""
    specs = [WarningSpec("W", 1, code, message) for code, message in warnings.items()]
    spec = AnswerSpec("classification", "P", labels=["bad", "good"], warnings=specs)
    answer = AnswerDecoder(spec).answer({"P": [0.25, 0.75], "W": [0.0]}, {})
    return Prediction("sentiment", "v2.3.1", answer, 3, 0.0012345, 0.002, 0.003, 4)


def test_v1_is_flat_for_ever() -> None:
    assert msgspec.json.decode(prediction_v1(prediction(), "req_1")) == {
        "prediction": "good",
        "confidence": 0.75,
        "model": "sentiment",
        "model_version": "v2.3.1",
        "request_id": "req_1",
    }


def test_v2_is_structured() -> None:
    warned = prediction(LOW="Low")
    assert msgspec.json.decode(prediction_v2(warned, "req_1")) == {
        "data": DATA,
        "model": {"name": "sentiment", "version": "v2.3.1", "rollout": None},
        "usage": {"units": 3},
        "timing": {"admission_ms": 1.234, "queue_ms": 2.0, "inference_ms": 3.0},
        "warnings": [{"code": "LOW", "message": "Low"}],
        "request_id": "req_1",
    }


def test_the_headers_of_an_answer_say_version_and_timing() -> None:
    headers = dict(render.prediction_headers(prediction()))
    assert headers[b"x-model-version"] == b"v2.3.1"
    timing = b"admission;dur=1.234, queue;dur=2.000, inference;dur=3.000"
    assert headers[b"server-timing"] == timing
    assert b"x-warnings" not in headers


def test_warnings_reach_v1_in_a_header() -> None:
    warned = prediction(LOW='Say "no" \\ yes', OLD="Old")
    headers = dict(render.prediction_headers(warned))
    assert headers[b"x-warnings"] == b'LOW;message="Say \\"no\\" \\\\ yes", OLD;message="Old"'
