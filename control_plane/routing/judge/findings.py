"""What each test found, in numbers and in a sentence."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from msgspec import Struct

from control_plane.routing.judge.clusters import Mean
from control_plane.routing.judge.sequential import Estimate, excess_interval

LEVEL: Final = 0.05
"""Intervals for reports are wrong at any time with this probability."""
_LARGEST: Final = 700.0


class State(StrEnum):
    """How a test stands."""

    UNKNOWN = "unknown"
    CLEAR = "clear"
    DOUBTFUL = "doubtful"
    ALARM = "alarm"


class Finding(Struct, frozen=True, kw_only=True):
    """One test.

    Attributes:
        test: Which one; ``docs/judge.md`` describes each.
        state: ``alarm`` from the threshold on, ``doubtful`` from its square root on, ``unknown``
            while there is too little to test.
        sentence: The finding in words.
        candidate: The candidate's figure: a number of subjects, a share, seconds or a mean score.
        control: The control's.
        candidate_number: Requests, predictions or subjects behind the candidate's figure.
        control_number: Those behind the control's.
        e_value: Evidence against "within the guard": at most 1 on average if it is within.
        threshold: Where the e-value is an alarm.
        interval: What the guard limits (a ratio for subjects, else a difference of shares or
            means), within these bounds at all times with 95 % confidence.
    """

    test: str
    state: State
    sentence: str
    candidate: float | None = None
    control: float | None = None
    candidate_number: int = 0
    control_number: int = 0
    e_value: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None


def unknown(test: str, sentence: str) -> Finding:
    """The finding of a test that has too little to go by."""
    return Finding(test=test, state=State.UNKNOWN, sentence=sentence)


def state_of(evidence: float, threshold: float) -> State:
    """How a test stands.

    Args:
        evidence: Logarithm of the e-value.
        threshold: Logarithm of what makes it an alarm.
    """
    if evidence >= threshold:
        return State.ALARM
    return State.DOUBTFUL if evidence >= threshold / 2 else State.CLEAR


def number(logarithm: float) -> float:
    """An e-value from its logarithm, within what a float can hold."""
    return math.exp(max(-_LARGEST, min(logarithm, _LARGEST)))


def difference(
    test: str,
    sentence: str,
    sides: tuple[Mean, Mean | None],
    evidence: tuple[float, float],
    interval: tuple[Estimate, float],
) -> Finding:
    """The finding of a test of means.

    Args:
        test: Which one.
        sentence: In words.
        sides: Means of candidate and control; one of a candidate alone has no control.
        evidence: Logarithms of e-value and threshold.
        interval: The difference with nothing tolerated, and the scale of its mixture.
    """
    candidate, control = sides
    low, high = excess_interval(*interval, LEVEL)
    return Finding(
        test=test,
        state=state_of(*evidence),
        sentence=sentence,
        candidate=candidate.share,
        control=control.share if control else None,
        candidate_number=candidate.number,
        control_number=control.number if control else 0,
        e_value=number(evidence[0]),
        threshold=number(evidence[1]),
        interval=(max(low, -1.0), min(high, 1.0)),
    )
