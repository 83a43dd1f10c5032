"""What the section ``stream`` of a contract means for jobs: their inputs, and what they answer.

Readers themselves are elsewhere; what a contract has to know of them is here.
"""

from __future__ import annotations

from typing import Any, Final

from control_plane.contracts.answer_kinds import AnswerKind
from control_plane.contracts.document import StreamSpec

ADDRESS_CHARACTERS: Final = 8192
"""Longest address of an object: signed ones are long."""

WINDOWS: Final = "windows"
"""What a reader fills a tensor with: windows of samples, each with the end of the one before."""
STATE: Final = "state"
"""What a reader fills a tensor with that the call before gave."""

FILLED: Final[dict[str, dict[str, tuple[str, tuple[int, ...]]]]] = {
    "sentences": {},
    "speech": {WINDOWS: ("FP32", (-1, 576)), STATE: ("FP32", (2, 128))},
}
"""By reader: what it fills tensors with itself, with datatype and shape; -1 takes any length."""

OPTIONS: Final = {
    "sentences": (),
    "speech": ("threshold", "min_silence_ms", "min_speech_ms", "speech_pad_ms"),
}
"""By reader: the inputs, numbers with a default, that it goes by itself."""

ANSWERS: Final = {"sentences": "classification", "speech": "segments"}
"""By reader: the kind of answer that its results are made of."""


def job_schema(schema: dict[str, Any], stream: StreamSpec) -> dict[str, Any]:
    """The schema of a job's inputs: the object's address stands in place of what it becomes.

    Args:
        schema: Of the inputs, closed.
        stream: What becomes of the object.
    """
    types = ", ".join(stream.media_types)
    address = {
        "type": "string",
        "minLength": 1,
        "maxLength": ADDRESS_CHARACTERS,
        "description": f"Address of an object: {types}; at most {stream.max_bytes} bytes",
    }
    properties = {name: one for name, one in schema["properties"].items() if name != stream.into}
    required = [name for name in schema.get("required", []) if name != stream.into]
    return {
        **schema,
        "properties": {stream.object: address, **properties},
        "required": [stream.object, *required],
    }


def job_answer(stream: StreamSpec, kind: AnswerKind) -> dict[str, Any]:
    """JSON Schema ``properties`` of the answer of a job that names an object; all are required.

    Args:
        stream: What becomes of the object.
        kind: The model's answer to one input.
    """
    flat, _ = kind.schemas()
    return flat if stream.reader == "speech" else _of_sentences(flat, kind.spec.labels or [])


def _of_sentences(flat: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    place = {"type": "integer", "minimum": 0}
    sentence = {
        "index": {**place, "description": "Number of the sentence, from 0"},
        "start": {**place, "description": "Character of the text where it begins, from 0"},
        "end": {**place, "description": "Character behind its last"},
        **flat,
    }
    count = {"type": "integer", "minimum": 0}
    of_label = _closed({"count": count, "mean_confidence": {"type": ["number", "null"]}})
    summary = {
        "count": count,
        "by_label": _closed(dict.fromkeys(labels, of_label)),
        "warnings": {
            "type": "object",
            "additionalProperties": count,
            "description": "How many sentences have a warning, by its code",
        },
    }
    return {
        "sentences": {"type": "array", "items": _closed(sentence)},
        "summary": _closed(summary),
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
