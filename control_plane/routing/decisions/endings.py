"""How a rollout goes on or ends: by its plan, by an operator, or by the judge.

A verdict belongs to the state that it was found for: whoever acts on one names its revision to the
store, so that another rollout, or another step, is never ended by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from control_plane.routing.decisions.decided import (
    Decided,
    life_conflict,
    running,
    version_of,
    with_version,
)
from control_plane.routing.decisions.gate import Gate, pass_gate
from control_plane.routing.decisions.lives import trusted
from control_plane.routing.decisions.rollouts import next_step
from control_plane.routing.identifiers import part_of
from control_plane.routing.state import Candidate, EndedRollout, ModelState, Rollout

_NOTHING: Mapping[str, Any] = {}


def advance(
    state: ModelState, now: int, by: str, reason: str = "", report: Mapping[str, Any] = _NOTHING
) -> Decided:
    """Go to the next step of the plan; the end of the last step promotes the candidate.

    Args:
        state: Of the model.
        now: Epoch second.
        by: Who says so.
        reason: A sentence, kept if this ends the rollout.
        report: Numbers, kept if this ends the rollout.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is no rollout, it has no plan, or it is paused.
    """
    rollout = running(state)
    if not rollout.plan:
        raise life_conflict(state, "This rollout has no plan: set its weights, promote or abort it")
    if rollout.paused:
        raise life_conflict(state, "The rollout is paused: resume it first")
    if rollout.step + 1 < len(rollout.plan):
        return next_step(state, rollout, now)
    return promote(state, now, by, reason=reason, report=report)


def promote(
    state: ModelState,
    now: int,
    by: str,
    version: str | None = None,
    reason: str = "",
    report: Mapping[str, Any] = _NOTHING,
    gates: Mapping[str, Gate] | None = None,
) -> Decided:
    """Make a candidate the stable version, at whatever step the rollout is.

    Args:
        state: Of the model.
        now: Epoch second.
        by: Who says so.
        version: Which candidate; None for the only one.
        reason: A sentence.
        report: Numbers.
        gates: What was found out about the candidates, by version; None if the judge, who saw
            them answer, says so.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is no rollout, it has no such candidate, or that
            was only seen in shadow; ``VERSION_NOT_READY``.
    """
    rollout = running(state)
    candidate = _candidate(state, rollout, version)
    if gates is not None:
        pass_gate(state, candidate.version, gates.get(candidate.version))
    if not candidate.weight and not rollout.plan:
        raise life_conflict(
            state,
            f"{candidate.version} was only seen in shadow: give it a weight first, or abort the "
            "rollout and promote the version itself",
            version=candidate.version,
        )
    ended = _ended(state, rollout, by, reason, report)
    ended = structs.replace(
        ended,
        outcome="promoted",
        promoted=candidate.version,
        promoted_from=version_of(state, candidate.version),
    )
    promoted = trusted(state, candidate.version, now)
    return Decided(
        state=structs.replace(promoted, rollout=None), action="rollout.promote", ended=ended
    )


def abort(state: ModelState, by: str, reason: str = "") -> Decided:
    """End the rollout; the stable version answers everybody, and nothing is held against others.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is none.
    """
    ended = _ended(state, running(state), by, reason, _NOTHING)
    return Decided(state=structs.replace(state, rollout=None), action="rollout.abort", ended=ended)


def roll_back(
    state: ModelState, by: str, version: str | None, reason: str, report: Mapping[str, Any]
) -> Decided:
    """Take a candidate back, paused or not: its subjects get the stable version.

    The rollout ends with its only candidate. Of several the others go on, with their buckets, and
    what is kept of this one has an id of its own.

    Args:
        state: Of the model.
        by: Who says so.
        version: Which candidate; None for the only one.
        reason: Why, in a sentence.
        report: The numbers.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is no rollout, or it has no such candidate.
    """
    rollout = running(state)
    candidate = _candidate(state, rollout, version)
    others = tuple(each for each in rollout.candidates if each != candidate)
    ended = _ended(state, rollout, by, reason, report)
    ended = structs.replace(ended, outcome="rolled_back")
    if others:
        ended = structs.replace(
            ended,
            id=part_of(rollout.id, candidate.version),
            rollout=_only(rollout, candidate),
        )
    stands = structs.replace(
        version_of(state, candidate.version), rolled_back=ended.id, note=reason
    )
    state = with_version(state, candidate.version, stands)
    left = _without(rollout, candidate) if others else None
    return Decided(
        state=structs.replace(state, rollout=left), action="rollout.roll_back", ended=ended
    )


def _candidate(state: ModelState, rollout: Rollout, version: str | None) -> Candidate:
    names = [candidate.version for candidate in rollout.candidates]
    if version is None and len(names) > 1:
        raise life_conflict(state, "The rollout has several candidates: name one", candidates=names)
    for candidate in rollout.candidates:
        if version is None or candidate.version == version:
            return candidate
    raise life_conflict(
        state, "The rollout has no such candidate: name one of its own", candidates=names
    )


def _only(rollout: Rollout, candidate: Candidate) -> Rollout:
    version = candidate.version
    kept = {version: rollout.buckets[version]} if version in rollout.buckets else {}
    return structs.replace(rollout, candidates=(candidate,), buckets=kept)


def _without(rollout: Rollout, candidate: Candidate) -> Rollout:
    """The control stays as it is, so that what was counted of the others still compares."""
    return structs.replace(
        rollout,
        candidates=tuple(each for each in rollout.candidates if each != candidate),
        buckets={
            version: ranges
            for version, ranges in rollout.buckets.items()
            if version != candidate.version
        },
    )


def _ended(
    state: ModelState, rollout: Rollout, by: str, reason: str, report: Mapping[str, Any]
) -> EndedRollout:
    return EndedRollout(
        id=rollout.id,
        model=state.name,
        rollout=rollout,
        outcome="aborted",
        by=by,
        reason=reason,
        report=dict(report),
    )
