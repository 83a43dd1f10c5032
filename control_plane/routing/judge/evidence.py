"""The counts of a step, of all processes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from control_plane.routing.judge.fields import (
    BUCKETS,
    GROUPS,
    LABEL_LENGTH,
    LABELS,
    OTHER_LABELS,
    SEPARATOR,
    Count,
    Side,
)

MAX_COUNT: Final = 2**53
"""Above this, sums of floats are no longer exact; no step comes near."""

Groups = tuple[int, ...]
"""A count for each of the 64 groups."""
NONE: Final[Groups] = (0,) * GROUPS
_SIDES: Final = {side.value: side for side in Side}
_PLAIN: Final = {count.value: count for count in Count if count not in {Count.LATENCY, Count.LABEL}}


class Arm(Struct, frozen=True, kw_only=True):
    """What one side did in one step; each count by group of subjects.

    Attributes:
        requests: Requests, failed ones included.
        failed: Requests that failed through what a version can be blamed for.
        failing_subjects: Different subjects with at least one of these.
        latency: Answered requests by bucket of latency.
        labels: Predictions by label, at most 50 and ``OTHER_LABELS``.
        scored: Predictions on which there is feedback.
        score: Sum of their scores, millionths.
        compared: Requests whose answer in shadow was held against the one that was given.
        agreed: Those of them that agree.
    """

    requests: Groups = NONE
    failed: Groups = NONE
    failing_subjects: int = 0
    latency: Mapping[int, Groups] = {}
    labels: Mapping[str, Groups] = {}
    scored: Groups = NONE
    score: Groups = NONE
    compared: Groups = NONE
    agreed: Groups = NONE


class Evidence(Struct, frozen=True):
    """Both sides of one step.

    Attributes:
        candidate: The version on trial.
        control: The stable version, in a lane of its own.
    """

    candidate: Arm = Arm()
    control: Arm = Arm()

    @classmethod
    def read(
        cls,
        counts: Mapping[str | bytes, str | bytes | int],
        failing_subjects: Mapping[Side, int],
    ) -> Evidence:
        """Read the sums of what processes drained from their tallies.

        What is no count of ours is left out: other fields, numbers out of range, groups and
        buckets that do not exist. Labels beyond the 50 most frequent of both sides go together.

        Args:
            counts: The hash of all fields.
            failing_subjects: Different failing subjects of each side.
        """
        sides = {side: _Counts() for side in Side}
        for name, value in counts.items():
            number = _number(value)
            if number is not None:
                _take(sides, _text(name).split(SEPARATOR, 3), number)
        kept = _most_frequent(sides)
        return cls(
            *(
                sides[side].arm(kept, max(failing_subjects.get(side, 0), 0))
                for side in (Side.CANDIDATE, Side.CONTROL)
            )
        )


class Sides(Struct, frozen=True):
    """What a test compares.

    Attributes:
        candidate: The version on trial.
        control: What it is compared with: this step's control, or that of an earlier one.
        evened: True if both have the same share of the subjects, so that busy ones may be made to
            count less (``clusters.mean``).
    """

    candidate: Arm
    control: Arm
    evened: bool


class _Counts:
    def __init__(self) -> None:
        self.plain: dict[Count, list[int]] = {}
        self.latency: dict[int, list[int]] = {}
        self.labels: dict[str, list[int]] = {}

    def arm(self, kept: frozenset[str], failing_subjects: int) -> Arm:
        labels: dict[str, list[int]] = {}
        for label, groups in self.labels.items():
            into = labels.setdefault(label if label in kept else OTHER_LABELS, [0] * GROUPS)
            for group, number in enumerate(groups):
                into[group] += number
        return Arm(
            failing_subjects=failing_subjects,
            latency={bucket: tuple(groups) for bucket, groups in self.latency.items()},
            labels={label: tuple(groups) for label, groups in labels.items()},
            **{count.value: tuple(groups) for count, groups in self.plain.items()},
        )


def _take(sides: Mapping[Side, _Counts], parts: list[str], number: int) -> None:
    if len(parts) < 3 or parts[0] not in _SIDES:
        return
    side = sides[_SIDES[parts[0]]]
    group = _index(parts[1], GROUPS)
    if group is None:
        return
    match parts[2:]:
        case [Count.LATENCY, which]:
            bucket = _index(which, BUCKETS)
            if bucket is not None:
                side.latency.setdefault(bucket, [0] * GROUPS)[group] += number
        case [Count.LABEL, label] if len(label) <= LABEL_LENGTH:
            side.labels.setdefault(label, [0] * GROUPS)[group] += number
        case [name] if name in _PLAIN:
            side.plain.setdefault(_PLAIN[name], [0] * GROUPS)[group] += number


def _most_frequent(sides: Mapping[Side, _Counts]) -> frozenset[str]:
    totals: dict[str, int] = {}
    for side in sides.values():
        for label, groups in side.labels.items():
            totals[label] = totals.get(label, 0) + sum(groups)
    totals.pop(OTHER_LABELS, None)
    ordered: Iterator[str] = iter(sorted(totals, key=lambda label: (-totals[label], label)))
    return frozenset(label for label, _ in zip(ordered, range(LABELS), strict=False))


def _index(text: str, end: int) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3):
        return None
    index = int(text)
    return index if index < end else None


def _number(value: str | bytes | int) -> int | None:
    if isinstance(value, int):
        number = value
    else:
        text = _text(value)
        if not (text.isascii() and text.isdecimal() and len(text) <= 16):
            return None
        number = int(text)
    return number if 0 <= number <= MAX_COUNT else None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
