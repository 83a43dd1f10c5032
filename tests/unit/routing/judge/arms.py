"""Sides of a step that did what a test wants of them."""

from __future__ import annotations

from typing import Any

from control_plane.routing.judge.evidence import Arm, Groups
from control_plane.routing.judge.fields import GROUPS, SCORE_UNITS, bucket_of
from control_plane.routing.judge.verdict import Step


def spread(number: int, groups: int = GROUPS) -> Groups:
    """A number spread over the first groups as evenly as can be, but with some unevenness."""
    counts = [number // groups + (each < number % groups) for each in range(groups)]
    for each in range(0, groups - 1, 2):
        moved = min(counts[each + 1], 1 + counts[each + 1] // 8)
        counts[each] += moved
        counts[each + 1] -= moved
    return tuple(counts + [0] * (GROUPS - groups))


def arm(
    requests: int = 2000,
    *,
    failed: int = 0,
    failing_subjects: int | None = None,
    groups: int = GROUPS,
    latency_s: float = 0.02,
    slow: tuple[int, float] = (0, 1.0),
    labels: dict[str, int] | None = None,
    scored: tuple[int, float] = (0, 0.0),
    compared: tuple[int, int] = (0, 0),
) -> Arm:
    """A side.

    Args:
        requests: Requests, failed ones included.
        failed: Failed requests.
        failing_subjects: As many as failed requests without it.
        groups: Groups of subjects that sent any.
        latency_s: Of half of the answers; the other half takes 1.1 times as long.
        slow: So many answers took so many seconds instead.
        labels: Predictions.
        scored: Predictions with feedback, and their mean score.
        compared: Answers compared, and how many of them agreed.
    """
    good = requests - failed - slow[0]
    latency: dict[int, Groups] = {}
    for number, seconds in (
        (good // 2, latency_s),
        (good - good // 2, latency_s * 1.1),
        slow,
    ):
        if not number:
            continue
        bucket = bucket_of(seconds)
        before = latency.get(bucket, (0,) * GROUPS)
        latency[bucket] = tuple(map(sum, zip(before, spread(number, groups), strict=True)))
    right = round(scored[0] * scored[1])
    return Arm(
        requests=spread(requests, groups),
        failed=spread(failed, groups),
        failing_subjects=failed if failing_subjects is None else failing_subjects,
        latency=latency,
        labels={label: spread(number, groups) for label, number in (labels or {}).items()},
        scored=spread(scored[0], groups),
        score=tuple(each * SCORE_UNITS for each in spread(right, groups)),
        compared=spread(compared[0], groups),
        agreed=spread(compared[1], groups),
    )


def step(**changes: Any) -> Step:
    """A step of a tenth, the second of three, that has lasted long enough."""
    usual = {
        "steps": 3, "weight": 0.1, "control_weight": 0.1, "elapsed_s": 600.0, "least_s": 300.0,
        "least_requests": 1000,
    }  # fmt: skip
    return Step(**{**usual, **changes})
