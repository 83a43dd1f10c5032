"""Tests of failures: by subjects, by requests, and of what is broken altogether."""

from __future__ import annotations

import math
from typing import Final

from control_plane.routing.judge.clusters import above, means
from control_plane.routing.judge.evidence import Sides
from control_plane.routing.judge.findings import (
    LEVEL,
    Finding,
    State,
    difference,
    number,
    state_of,
    unknown,
)
from control_plane.routing.judge.sequential import excess, flips, flips_interval

SUBJECTS: Final = "failing_subjects"
REQUESTS: Final = "failed_requests"
BROKEN: Final = "broken"
LEAST_FAILING: Final = 2
LEAST_BROKEN: Final = 20
"""Requests of a side from which on it can be seen to be broken, or not."""
_SCALE: Final = 0.05


def failing_subjects(
    sides: Sides, ratio: float, weights: tuple[float, float], threshold: float
) -> Finding:
    """Whether too many of the subjects that failed at least once are the candidate's.

    Args:
        sides: Lanes that run at the same time.
        ratio: Tolerated ratio of failures.
        weights: Shares of all subjects that are the candidate's and the control's.
        threshold: Logarithm of the e-value that is an alarm.
    """
    candidate, control = (arm.failing_subjects for arm in (sides.candidate, sides.control))
    odds = weights[0] / weights[1]
    log_e = flips(candidate, control, ratio * odds / (ratio * odds + 1))
    low, high = flips_interval(candidate, control, odds, LEVEL)
    expected = (candidate + control) * odds / (odds + 1)
    return Finding(
        test=SUBJECTS,
        state=state_of(log_e, threshold),
        sentence=f"{candidate} subjects failed at least once with the candidate and {control} with "
        f"the control; of so many, {expected:.1f} would be the candidate's if both were alike",
        candidate=candidate,
        control=control,
        candidate_number=candidate,
        control_number=control,
        e_value=number(log_e),
        threshold=number(threshold),
        interval=(low, high) if math.isfinite(high) else None,
    )


def failed_requests(sides: Sides, ratio: float, tolerance: float, threshold: float) -> Finding:
    """Whether too large a share of the candidate's requests failed.

    Args:
        sides: What is compared.
        ratio: Tolerated ratio of failures.
        tolerance: Share that is tolerated on top, 0 to 1.
        threshold: Logarithm of the e-value that is an alarm.
    """
    pair = means(
        (sides.candidate.failed, sides.candidate.requests),
        (sides.control.failed, sides.control.requests),
        evened=sides.evened,
    )
    if pair is None:
        return unknown(REQUESTS, "Too few requests, groups of subjects or failures to compare")
    ours, theirs = pair
    return difference(
        REQUESTS,
        f"{ours.share:.2%} of the candidate's {ours.number} requests failed, "
        f"{theirs.share:.2%} of the control's {theirs.number}",
        pair,
        (excess(above(*pair, factor=ratio, tolerance=tolerance), _SCALE), threshold),
        (above(*pair), _SCALE),
    )


def broken(sides: Sides, limit: float) -> Finding:
    """Whether the candidate fails so grossly that nothing needs to be tested.

    So it is if more than ``limit`` of its requests fail, of all and in most of the groups of
    subjects that it has, and for two subjects at least, while of the control's requests at most
    half of ``limit`` do, or there is no control. This is a fuse and no test: a single subject whose
    every request fails looks like a broken version, and two such among a handful on one side do as
    well.

    Args:
        sides: What is compared.
        limit: Share of requests, 0.05 to 1.
    """
    candidate, control = sides.candidate, sides.control
    asked, failed = sum(candidate.requests), sum(candidate.failed)
    reference = sum(control.requests)
    if asked < LEAST_BROKEN or 0 < reference < LEAST_BROKEN:
        return unknown(BROKEN, f"Fewer than {LEAST_BROKEN} requests on one of the sides")
    rate, usual = failed / asked, sum(control.failed) / reference if reference else 0.0
    seen = [pair for pair in zip(candidate.failed, candidate.requests, strict=True) if pair[1]]
    bad = sum(1 for group_failed, group_asked in seen if group_failed > limit * group_asked)
    several = candidate.failing_subjects >= LEAST_FAILING
    gross = several and rate > limit and 2 * bad > len(seen) and usual <= limit / 2
    return Finding(
        test=BROKEN,
        state=State.ALARM if gross else State.CLEAR,
        sentence=f"{failed} of the candidate's {asked} requests failed ({rate:.0%}, for "
        f"{candidate.failing_subjects} subjects, in {bad} of {len(seen)} groups more than "
        f"{limit:.0%}), {usual:.0%} of the control's",
        candidate=rate,
        control=usual,
        candidate_number=asked,
        control_number=reference,
    )
