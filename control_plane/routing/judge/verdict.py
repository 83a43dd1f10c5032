"""From the counts of a step to what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct

from control_plane.routing.guards import Guards
from control_plane.routing.judge.answers import accuracy, agreement, label_shift
from control_plane.routing.judge.evidence import Arm, Evidence, Sides
from control_plane.routing.judge.failures import broken, failed_requests, failing_subjects
from control_plane.routing.judge.findings import Finding, State
from control_plane.routing.judge.latency import latency

LEAST_GROUPS: Final = 10
"""Groups of subjects with requests, of 64, that each side needs for a promotion."""
UNPAIRED_TOLERANCE: Final = 0.01
"""Share of failures tolerated on top where the control is that of an earlier step: it saw another
hour, and no assignment by chance makes hours alike."""


class Decision(StrEnum):
    """What becomes of a step."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Step(Struct, frozen=True, kw_only=True):
    """The step of a plan that is judged.

    Attributes:
        steps: Number of steps of the plan, at least 1: they share the false alarms.
        weight: Share of the subjects that are the candidate's, 0 to 1; of no meaning in shadow.
        control_weight: Share of those in the control lane, 0 to 1; 0 if there is no room for one.
        shadow: True if the candidate answers in shadow: its control are then the answers that were
            given to the same requests.
        elapsed_s: How long the step has been in force, seconds.
        least_s: How long it has to be at least, seconds.
        least_requests: Requests that the candidate has to have answered at least.
    """

    steps: int
    weight: float
    control_weight: float
    shadow: bool = False
    elapsed_s: float
    least_s: float
    least_requests: int


class Verdict(Struct, frozen=True):
    """What becomes of a step, and why.

    Attributes:
        decision: Promote, hold or roll back.
        reasons: What decided, a sentence each.
        findings: Every test that is on.
    """

    decision: Decision
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


def judge(evidence: Evidence, guards: Guards, step: Step, before: Arm | None = None) -> Verdict:
    """Judge a step; may be asked as often as one likes.

    Args:
        evidence: The counts of this step, of all processes.
        guards: What the candidate is allowed.
        step: The step.
        before: The control's counts of the last step that had one, for a step that has none.
    """
    findings = tuple(_findings(evidence, guards, step, before))
    alarms = [each for each in findings if each.state is State.ALARM]
    if alarms:
        return Verdict(Decision.ROLL_BACK, tuple(_told(each) for each in alarms), findings)
    waiting = tuple(_waiting(_sides(evidence, step, before), step, findings))
    if waiting:
        return Verdict(Decision.HOLD, waiting, findings)
    return Verdict(Decision.PROMOTE, ("Nothing speaks against the candidate",), findings)


def thresholds(guards: Guards, steps: int) -> tuple[float, float]:
    """Logarithms of the e-values that are an alarm: for failing subjects, and for each other test.

    The probability of a false alarm is divided by the number of steps, and then between the tests
    (union bound): nothing is assumed of how they depend on each other. Steps do depend: a subject
    that always fails is on the same side in each of them. Half of it is for failing subjects: what
    hurts most is to be found first.
    """
    others = sum(
        guard is not None
        for guard in (
            guards.error_ratio,
            guards.latency_p50_ratio,
            guards.latency_p99_ratio,
            guards.max_shift,
            guards.min_agreement,
            guards.max_accuracy_drop,
        )
    )
    parts = math.log(2 * steps / guards.false_alarm)
    return parts, parts + math.log(max(others, 1))


def _findings(
    evidence: Evidence, guards: Guards, step: Step, before: Arm | None
) -> Iterator[Finding]:
    sides = _sides(evidence, step, before)
    first, limit = thresholds(guards, step.steps)
    if guards.error_ratio is not None:
        if _side_by_side(step):
            weights = (step.weight, step.control_weight)
            yield failing_subjects(sides, guards.error_ratio, weights, first)
        tolerance = 0.0 if _side_by_side(step) or step.shadow else UNPAIRED_TOLERANCE
        yield failed_requests(sides, guards.error_ratio, tolerance, limit)
    if guards.max_error_rate is not None:
        yield broken(sides, guards.max_error_rate)
    if not step.shadow:
        yield from _latencies(sides, guards, limit)
    if guards.max_shift is not None:
        yield label_shift(sides, guards.max_shift, limit)
    if guards.min_agreement is not None and step.shadow:
        yield agreement(sides.candidate, guards.min_agreement, limit)
    if guards.max_accuracy_drop is not None:
        yield accuracy(sides, guards.max_accuracy_drop, limit)


def _sides(evidence: Evidence, step: Step, before: Arm | None) -> Sides:
    if step.shadow or _side_by_side(step):
        even = step.shadow or math.isclose(step.weight, step.control_weight, rel_tol=1e-6)
        return Sides(evidence.candidate, evidence.control, evened=even)
    return Sides(evidence.candidate, before or Arm(), evened=False)


def _side_by_side(step: Step) -> bool:
    return not step.shadow and step.control_weight > 0


def _latencies(sides: Sides, guards: Guards, limit: float) -> Iterator[Finding]:
    for quantile, ratio in ((0.5, guards.latency_p50_ratio), (0.99, guards.latency_p99_ratio)):
        if ratio is not None:
            yield latency(sides, quantile, ratio, limit)


def _waiting(sides: Sides, step: Step, findings: tuple[Finding, ...]) -> Iterator[str]:
    answered = sum(sides.candidate.requests)
    if step.elapsed_s < step.least_s:
        yield f"The step lasts at least {step.least_s:g} s; {step.elapsed_s:.0f} s have passed"
    if answered < step.least_requests:
        yield f"The candidate needs {step.least_requests} requests and has had {answered}"
    for name, arm in (("candidate", sides.candidate), ("control", sides.control)):
        groups = sum(1 for each in arm.requests if each)
        if groups < LEAST_GROUPS:
            yield (
                f"The {name} has had requests from {groups} of 64 groups of subjects and needs "
                f"{LEAST_GROUPS}: give it more weight, let it stick by something finer, or "
                "promote by hand"
            )
    yield from (
        f"{_told(each)}. This is half-way to an alarm"
        for each in findings
        if each.state is State.DOUBTFUL
    )


def _told(finding: Finding) -> str:
    return f"{finding.test}: {finding.sentence}"
