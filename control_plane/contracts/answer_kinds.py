"""The kinds of answers: what each makes of a row, and how OpenAPI describes it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Final

from control_plane.contracts.document import AnswerSpec
from control_plane.errors import ModelFailed

DECIMALS: Final = 6

Row = dict[str, Any]


class AnswerKind(ABC):
    """How one kind of answer is made from rows and described as JSON Schema."""

    def __init__(self, spec: AnswerSpec) -> None:
        self.spec = spec

    @abstractmethod
    def flat(self, row: Row, inputs: dict[str, Any]) -> dict[str, Any]:
        """The fields of API v1.

        Args:
            row: The request's part of every output, by tensor name, as Python values.
            inputs: The completed inputs of the request.

        Raises:
            ModelFailed: If the model gave what the contract does not allow.
        """

    def further(self, row: Row) -> dict[str, Any]:
        """The fields that API v2 adds."""
        return {}

    def label(self, flat: dict[str, Any]) -> str | None:
        """The class that the answer falls into, by which the answers of versions are compared."""
        return None

    @abstractmethod
    def schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON Schema ``properties`` of v1 and of v2's ``data``; all of them are required."""


class Classification(AnswerKind):
    """One label out of several, with the probability of each."""

    def flat(self, row: Row, inputs: dict[str, Any]) -> dict[str, Any]:
        """Label, confidence and, if the contract names a threshold, ``below_threshold``."""
        labels = self.spec.labels or []
        scores = row[self.spec.tensor or ""]
        if len(scores) != len(labels):
            raise ModelFailed(f"The model gave {len(scores)} scores for {len(labels)} labels")
        best = max(range(len(scores)), key=scores.__getitem__)
        confidence = round(scores[best], DECIMALS)
        flat: dict[str, Any] = {"prediction": labels[best], "confidence": confidence}
        if self.spec.threshold is not None:
            flat["below_threshold"] = scores[best] < inputs[self.spec.threshold]
        return flat

    def label(self, flat: dict[str, Any]) -> str | None:
        """The predicted label."""
        label: str = flat["prediction"]
        return label

    def further(self, row: Row) -> dict[str, Any]:
        """The probability of every label."""
        rounded = [round(score, DECIMALS) for score in row[self.spec.tensor or ""]]
        return {"probabilities": dict(zip(self.spec.labels or [], rounded, strict=True))}

    def schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """See the base class."""
        labels = self.spec.labels or []
        flat: dict[str, Any] = {
            "prediction": {"enum": labels, "description": "The most probable label"},
            "confidence": {
                "type": "number", "minimum": 0, "maximum": 1,
                "description": "Its probability, 6 decimals",
            },
        }  # fmt: skip
        if self.spec.threshold is not None:
            flat["below_threshold"] = {
                "type": "boolean",
                "description": f"True if the confidence is below the input {self.spec.threshold}",
            }
        probabilities = {
            "type": "object",
            "properties": {
                label: {"type": "number", "minimum": 0, "maximum": 1} for label in labels
            },
            "required": labels,
            "additionalProperties": False,
            "description": "The probability of every label",
        }
        return flat, {**flat, "probabilities": probabilities}


class Regression(AnswerKind):
    """One number."""

    def flat(self, row: Row, inputs: dict[str, Any]) -> dict[str, Any]:
        """The number and, if the contract names one, its unit."""
        values = row[self.spec.tensor or ""]
        if len(values) != 1:
            raise ModelFailed(f"The model gave {len(values)} numbers instead of one")
        flat: dict[str, Any] = {"prediction": round(values[0], DECIMALS)}
        if self.spec.unit:
            flat["unit"] = self.spec.unit
        return flat

    def label(self, flat: dict[str, Any]) -> str | None:
        """The power of two below the number: ``32..64``, ``-8..-4``, ``0``."""
        value: float = flat["prediction"]
        if not value:
            return "0"
        end = 2.0 ** math.frexp(value)[1]
        return f"{end / 2:g}..{end:g}" if value > 0 else f"{-end:g}..{-end / 2:g}"

    def schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """See the base class."""
        flat: dict[str, Any] = {
            "prediction": {"type": "number", "description": "The predicted value"}
        }
        if self.spec.unit:
            flat["unit"] = {"const": self.spec.unit, "description": "Unit of the prediction"}
        return flat, flat


class Embedding(AnswerKind):
    """A vector."""

    def flat(self, row: Row, inputs: dict[str, Any]) -> dict[str, Any]:
        """The vector and its length."""
        vector = row[self.spec.tensor or ""]
        return {"embedding": vector, "dimensions": len(vector)}

    def schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """See the base class."""
        flat: dict[str, Any] = {
            "embedding": {"type": "array", "items": {"type": "number"}},
            "dimensions": {"type": "integer", "minimum": 1},
        }
        return flat, flat


class Tensors(AnswerKind):
    """The named outputs as they are."""

    def flat(self, row: Row, inputs: dict[str, Any]) -> dict[str, Any]:
        """Each tensor as nested arrays, without the batch dimension."""
        return {"outputs": {name: row[name] for name in self.spec.tensors or []}}

    def schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """See the base class."""
        names = self.spec.tensors or []
        outputs = {
            "type": "object",
            "properties": {name: {"type": "array"} for name in names},
            "required": names,
            "additionalProperties": False,
        }
        return {"outputs": outputs}, {"outputs": outputs}


class Segments(AnswerKind):
    """Where somebody speaks in a whole recording; a row is the answer to some of its windows."""

    def flat(self, row: Row, inputs: dict[str, Any]) -> dict[str, Any]:
        """Not of a row.

        Raises:
            ModelFailed: Always.
        """
        raise ModelFailed("One part of a recording has no answer of its own")

    def schemas(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """See the base class."""
        seconds = {"type": "number", "minimum": 0}
        segment = {
            "type": "array",
            "prefixItems": [
                {**seconds, "description": "Start, seconds"},
                {**seconds, "description": "End, seconds"},
                {
                    "type": "number", "minimum": 0, "maximum": 1,
                    "description": "Mean probability of speech between them, 6 decimals",
                },
            ],
            "minItems": 3,
            "maxItems": 3,
        }  # fmt: skip
        flat: dict[str, Any] = {
            "segments": {
                "type": "array", "items": segment,
                "description": "Where somebody speaks, in order, to milliseconds",
            },
            "duration_s": {**seconds, "description": "Of the recording, seconds"},
            "speech_s": {**seconds, "description": "Of all segments together, seconds"},
        }  # fmt: skip
        return flat, flat


KINDS: Final[dict[str, type[AnswerKind]]] = {
    "classification": Classification,
    "regression": Regression,
    "embedding": Embedding,
    "tensors": Tensors,
    "segments": Segments,
}
