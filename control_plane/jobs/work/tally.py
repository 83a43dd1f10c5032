"""The answers to the sentences of a text, in their final form while they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from control_plane.contracts.answers import Answer
from control_plane.readers.sentences import Sentence

DECIMALS: Final = 6


class Tally:
    """Lists answers, and sums them up by label.

    Attributes:
        count: Answers so far.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Begin with nothing.

        Args:
            labels: That answers may have.
        """
        self.count = 0
        self._rows = bytearray()
        self._labels = dict.fromkeys(labels, 0)
        self._confidence = dict.fromkeys(labels, 0.0)
        self._warnings: Counter[str] = Counter()

    def add(self, sentence: Sentence, answer: Answer) -> None:
        """Take the answer to the next sentence, a classification."""
        row = {"index": self.count, "start": sentence.start, "end": sentence.end, **answer.flat}
        self._rows += b"," if self._rows else b"["
        self._rows += msgspec.json.encode(row)
        self.count += 1
        label = answer.flat["prediction"]
        self._labels[label] += 1
        self._confidence[label] += answer.flat["confidence"]
        self._warnings.update(warned.code for warned in answer.warnings)

    def result(self) -> dict[str, Any]:
        """The result's fields; the list of sentences is JSON already."""
        return {
            "sentences": msgspec.Raw(bytes(self._rows or b"[") + b"]"),
            "summary": {
                "count": self.count,
                "by_label": {label: self._of_label(label) for label in self._labels},
                "warnings": dict(sorted(self._warnings.items())),
            },
        }

    def _of_label(self, label: str) -> dict[str, Any]:
        count = self._labels[label]
        mean = round(self._confidence[label] / count, DECIMALS) if count else None
        return {"count": count, "mean_confidence": mean}
