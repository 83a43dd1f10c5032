"""What one process counts between two writes."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from control_plane.routing.judge.fields import (
    LABEL_LENGTH,
    LABELS,
    OTHER_LABELS,
    SCORE_UNITS,
    SEPARATOR,
    Count,
    Side,
    bucket_of,
)

MAX_SUBJECTS: Final = 10_000
"""Failing subjects of a side kept between two writes: a verdict needs a few dozen."""

_Field = tuple[Side, int, Count, int | str | None]


class Drained(Struct, frozen=True):
    """What was counted since the last time.

    Attributes:
        counts: Increments by field, for a hash.
        failing: Subjects with a failed request by side, for a set each.
    """

    counts: dict[str, int]
    failing: dict[Side, frozenset[str]]


class Tally:
    """Counts one step of one rollout: a few additions a request.

    Not for several threads. What is kept is bounded by groups, buckets and labels, and by 10,000
    failing subjects a side.
    """

    def __init__(self) -> None:
        self._counts: dict[_Field, int] = {}
        self._labels: set[str] = set()
        self._failing: dict[Side, set[str]] = {side: set() for side in Side}

    def answered(self, side: Side, group: int, latency_s: float, label: str | None = None) -> None:
        """Count a request that the side answered, or refused as the client's fault.

        Args:
            side: The side that answered.
            group: The subject's group, 0 to 63.
            latency_s: Time to the answer, seconds.
            label: What was predicted; None where a prediction has no label.
        """
        self._add((side, group, Count.REQUESTS, None))
        self._add((side, group, Count.LATENCY, bucket_of(latency_s)))
        if label is not None:
            self._add((side, group, Count.LABEL, self._known(label)))

    def failed(self, side: Side, group: int, subject: str) -> None:
        """Count a request that failed through what a version can be blamed for.

        It has no latency: a version that fails at once would look fast.

        Args:
            side: The side that failed.
            group: The subject's group, 0 to 63.
            subject: A pseudonym of the subject, a keyed hash for example: it is written as it is.
        """
        self._add((side, group, Count.REQUESTS, None))
        self._add((side, group, Count.FAILED, None))
        failing = self._failing[side]
        if len(failing) < MAX_SUBJECTS:
            failing.add(subject)

    def scored(self, side: Side, group: int, score: float) -> None:
        """Count feedback on an earlier prediction.

        Args:
            side: The side that had predicted.
            group: The subject's group, 0 to 63.
            score: 0 (wrong) to 1 (right).

        Raises:
            ValueError: If the score is out of its range.
        """
        if not 0 <= score <= 1:
            raise ValueError(f"expected a score of 0 to 1, got {score!r}")
        self._add((side, group, Count.SCORED, None))
        self._add((side, group, Count.SCORE, None), round(score * SCORE_UNITS))

    def compared(self, group: int, *, agreed: bool) -> None:
        """Count a request whose answer in shadow was held against the one that was given.

        Args:
            group: The subject's group, 0 to 63.
            agreed: Whether both say the same.
        """
        self._add((Side.CANDIDATE, group, Count.COMPARED, None))
        if agreed:
            self._add((Side.CANDIDATE, group, Count.AGREED, None))

    def drain(self) -> Drained:
        """Hand over what was counted since the last time, and begin anew."""
        counts = {_name(field): count for field, count in self._counts.items()}
        failing = {side: frozenset(subjects) for side, subjects in self._failing.items()}
        self._counts.clear()
        for subjects in self._failing.values():
            subjects.clear()
        return Drained(counts, failing)

    def _add(self, field: _Field, number: int = 1) -> None:
        self._counts[field] = self._counts.get(field, 0) + number

    def _known(self, label: str) -> str:
        if label in self._labels:
            return label
        if len(self._labels) >= LABELS or len(label) > LABEL_LENGTH:
            return OTHER_LABELS
        self._labels.add(label)
        return label


def _name(field: _Field) -> str:
    return SEPARATOR.join(str(part) for part in field if part is not None)
