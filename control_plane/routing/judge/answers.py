"""Tests of what is answered: shares of labels, agreement in shadow, scores from feedback."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from control_plane.routing.judge.clusters import Mean, above, enough, mean, means, over
from control_plane.routing.judge.evidence import NONE, Arm, Groups, Sides
from control_plane.routing.judge.fields import OTHER_LABELS, SCORE_UNITS
from control_plane.routing.judge.findings import Finding, difference, unknown
from control_plane.routing.judge.sequential import excess

SHIFT: Final = "label_shift"
AGREEMENT: Final = "agreement"
ACCURACY: Final = "accuracy"
_SHIFT_SCALE: Final = 0.15
_AGREEMENT_SCALE: Final = 0.05
_ACCURACY_SCALE: Final = 0.1


def label_shift(sides: Sides, limit: float, threshold: float) -> Finding:
    """Whether any label's share of the predictions differs by more than ``limit``.

    The mean of e-values is one, however they depend on each other: so all labels, in both
    directions, are one test (Vovk & Wang, "E-values: calibration, combination and applications",
    Annals of Statistics 2021).

    Args:
        sides: What is compared.
        limit: Difference of shares, 0 to 1.
        threshold: Logarithm of the e-value that is an alarm.
    """
    pairs = dict(_shares(sides))
    if not pairs:
        return unknown(SHIFT, "Too few predictions or groups of subjects to compare")
    logs = [
        excess(above(*pair, tolerance=limit), _SHIFT_SCALE)
        for ours, theirs in pairs.values()
        for pair in ((ours, theirs), (theirs, ours))
    ]
    largest = max(logs)
    log_e = largest + math.log(sum(math.exp(each - largest) for each in logs) / len(logs))
    most = max(pairs, key=lambda label: abs(pairs[label][0].value - pairs[label][1].value))
    ours, theirs = pairs[most]
    name = "other labels" if most == OTHER_LABELS else f"the label {most!r}"
    return difference(
        SHIFT,
        f"The largest shift is that of {name}: {ours.share:.1%} of the candidate's {ours.number} "
        f"predictions, {theirs.share:.1%} of the control's {theirs.number}",
        (ours, theirs),
        (log_e, threshold),
        (above(ours, theirs), _SHIFT_SCALE),
    )


def agreement(candidate: Arm, least: float, threshold: float) -> Finding:
    """Whether the candidate agrees less often with the answers given than it has to.

    Args:
        candidate: The version in shadow.
        least: Share of equal answers, between 0 and 1.
        threshold: Logarithm of the e-value that is an alarm.
    """
    disagreed = _less(candidate.compared, candidate.agreed)
    ours = mean(disagreed, candidate.compared)
    if ours is None or not enough(ours):
        return unknown(AGREEMENT, "Too few comparisons, groups of subjects or differences to judge")
    agreed = sum(candidate.agreed) / ours.number
    finding = difference(
        AGREEMENT,
        f"{agreed:.2%} of {ours.number} answers in shadow agree with those given",
        (ours, None),
        (excess(over(ours, 1 - least), _AGREEMENT_SCALE), threshold),
        (over(ours, 0.0), _AGREEMENT_SCALE),
    )
    low, high = finding.interval or (0.0, 1.0)
    return msgspec.structs.replace(
        finding, candidate=agreed, interval=(1 - high, min(1 - low, 1.0))
    )


def accuracy(sides: Sides, drop: float, threshold: float) -> Finding:
    """Whether feedback says that the candidate is right less often.

    Args:
        sides: What is compared.
        drop: Tolerated loss of mean score, 0 to 1.
        threshold: Logarithm of the e-value that is an alarm.
    """
    pair = means(
        (_lost(sides.candidate), sides.candidate.scored),
        (_lost(sides.control), sides.control.scored),
        evened=sides.evened,
    )
    if pair is None:
        return unknown(ACCURACY, "Too little feedback, or from too few groups of subjects")
    ours, theirs = pair
    finding = difference(
        ACCURACY,
        f"Mean score {1 - ours.share:.3f} of {ours.number} of the candidate's predictions with "
        f"feedback, {1 - theirs.share:.3f} of {theirs.number} of the control's",
        (ours, theirs),
        (excess(above(ours, theirs, tolerance=drop), _ACCURACY_SCALE), threshold),
        (above(theirs, ours), _ACCURACY_SCALE),
    )
    return msgspec.structs.replace(finding, candidate=1 - ours.share, control=1 - theirs.share)


def _shares(sides: Sides) -> Iterator[tuple[str, tuple[Mean, Mean]]]:
    ours, theirs = sides.candidate.labels, sides.control.labels
    numbers = [_sum(list(labels.values())) for labels in (ours, theirs)]
    for label in sorted({*ours, *theirs}):
        pair = means(
            (ours.get(label, NONE), numbers[0]),
            (theirs.get(label, NONE), numbers[1]),
            evened=sides.evened,
        )
        if pair is not None:
            yield label, pair


def _lost(arm: Arm) -> tuple[float, ...]:
    return tuple(
        number - min(score / SCORE_UNITS, number)
        for number, score in zip(arm.scored, arm.score, strict=True)
    )


def _less(whole: Groups, part: Groups) -> Groups:
    return tuple(max(all_ - some, 0) for all_, some in zip(whole, part, strict=True))


def _sum(counts: list[Groups]) -> Groups:
    return tuple(map(sum, zip(*counts, strict=True))) if counts else NONE
