"""The rollout that runs: started, its weights set, held, let go on, taken to its next step."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, structs

from control_plane.errors import Fault, InvalidInput
from control_plane.routing.decisions.decided import Decided, life_conflict, running
from control_plane.routing.decisions.gate import Gate, pass_gate
from control_plane.routing.decisions.proposal import Proposal, faults_of
from control_plane.routing.guards import Guards
from control_plane.routing.split import Split, allocate
from control_plane.routing.state import Candidate, ModelState, Rollout


def start(
    state: ModelState,
    proposal: Proposal,
    *,
    rollout: str,
    now: int,
    by: str,
    gates: Mapping[str, Gate],
) -> Decided:
    """Start what an operator proposes.

    A candidate that gets a weight now or by the plan has to be ready and compatible.

    Args:
        state: Of the model.
        proposal: What is tried, and how.
        rollout: An id that was never used; see ``identifiers.py``.
        now: Epoch second.
        by: Who starts it.
        gates: What was found out about the candidates, by version.

    Raises:
        InvalidInput: With every fault of the proposal.
        TidegateError: ``LIFE_CONFLICT``, ``CONTRACT_BREAKING`` or ``VERSION_NOT_READY``.
    """
    if state.rollout is not None:
        raise life_conflict(
            state, f"A rollout of {state.name} is running: promote or abort it first"
        )
    if state.stable is None:
        raise life_conflict(
            state, f"{state.name} has no stable version to compare with: promote one first"
        )
    faults = faults_of(proposal, state)
    if faults:
        raise InvalidInput(faults)
    candidates = _first_shares(proposal)
    for candidate in candidates:
        if not proposal.again:
            _refuse_rolled_back(state, candidate.version)
        if candidate.weight or proposal.plan:
            pass_gate(state, candidate.version, gates.get(candidate.version))
    begun = _begun(state.stable, proposal, rollout, now, by)
    begun = shared_out(begun, candidates)
    return Decided(state=structs.replace(state, rollout=begun), action="rollout.start")


def set_weights(
    state: ModelState, weights: Mapping[str, float], now: int, gates: Mapping[str, Gate]
) -> Decided:
    """Set the weights of candidates; those that are not named keep theirs.

    What was counted before counts no more: the sides are others now.

    Args:
        state: Of the model.
        weights: Percent of the subjects, by version.
        now: Epoch second.
        gates: What was found out about candidates that had no weight, by version.

    Raises:
        InvalidInput: If a weight is out of range, or no candidate's, or none is left at all.
        TidegateError: ``LIFE_CONFLICT``, ``CONTRACT_BREAKING`` or ``VERSION_NOT_READY``.
    """
    rollout = running(state)
    if rollout.plan:
        raise life_conflict(
            state, "The weights of this rollout come from its plan: promote it, or abort it"
        )
    _refuse_strangers(rollout, weights)
    candidates = tuple(
        structs.replace(candidate, weight=weights.get(candidate.version, candidate.weight))
        for candidate in rollout.candidates
    )
    if candidates == rollout.candidates:
        return Decided(state=state, action="rollout.weights")
    changed = shared_out(rollout, candidates)
    if not any(candidate.weight or candidate.shadow for candidate in candidates):
        issue = "leave no candidate a weight or a shadow: abort the rollout instead"
        raise InvalidInput([Fault("weights", issue, "/weights")])
    for candidate, before in zip(candidates, rollout.candidates, strict=True):
        if candidate.weight and not before.weight:
            pass_gate(state, candidate.version, gates.get(candidate.version))
    changed = begun_anew(changed, now)
    return Decided(state=structs.replace(state, rollout=changed), action="rollout.weights")


def pause(state: ModelState, now: int) -> Decided:
    """Hold the rollout at its step.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is none.
    """
    rollout = running(state)
    if not rollout.paused:
        rollout = structs.replace(rollout, paused=True, paused_at=now)
    return Decided(state=structs.replace(state, rollout=rollout), action="rollout.pause")


def resume(state: ModelState, now: int) -> Decided:
    """Let the rollout go on; the pause does not count as time at the step.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is none.
    """
    rollout = running(state)
    if rollout.paused:
        since = rollout.step_since + max(0, now - rollout.paused_at)
        rollout = structs.replace(rollout, paused=False, paused_at=0, step_since=since)
    return Decided(state=structs.replace(state, rollout=rollout), action="rollout.resume")


def next_step(state: ModelState, rollout: Rollout, now: int) -> Decided:
    """The rollout, which is not paused, at the step after its present one, which has to exist."""
    place = rollout.step + 1
    step = rollout.plan[place]
    only = structs.replace(rollout.candidates[0], weight=step.weight, shadow=step.shadow)
    moved = structs.replace(shared_out(rollout, (only,)), step=place, step_since=now)
    return Decided(state=structs.replace(state, rollout=moved), action="rollout.advance")


def shared_out(rollout: Rollout, candidates: tuple[Candidate, ...]) -> Rollout:
    """The rollout with other candidates or weights, and with the buckets for them.

    Raises:
        InvalidInput: If the weights cannot be.
    """
    before = Split(rollout.buckets, rollout.control)
    after = allocate(before, {candidate.version: candidate.weight for candidate in candidates})
    control_stage = ""
    if after.buckets and not after.control:
        control_stage = rollout.stage if rollout.control else rollout.control_stage
    return structs.replace(
        rollout,
        candidates=candidates,
        buckets=after.buckets,
        control=after.control,
        control_stage=control_stage,
    )


def begun_anew(rollout: Rollout, now: int) -> Rollout:
    """The rollout with its step begun now, and under another stage; paused if it was."""
    paused_at = now if rollout.paused else 0
    return structs.replace(
        rollout, attempt=rollout.attempt + 1, step_since=now, paused_at=paused_at
    )


def _first_shares(proposal: Proposal) -> tuple[Candidate, ...]:
    if not proposal.plan:
        return proposal.candidates
    first = proposal.plan[0]
    only = structs.replace(proposal.candidates[0], weight=first.weight, shadow=first.shadow)
    return (only,)


def _begun(stable: str, proposal: Proposal, rollout: str, now: int, by: str) -> Rollout:
    """A rollout that has no buckets yet."""
    return Rollout(
        id=rollout,
        stable=stable,
        candidates=(),
        sticky_by=proposal.sticky_by,
        plan=proposal.plan,
        guards=Guards() if proposal.guards is UNSET else proposal.guards,
        public=proposal.public,
        keep_inputs=proposal.keep_inputs,
        step_since=now,
        started_at=now,
        started_by=by,
    )


def _refuse_rolled_back(state: ModelState, version: str) -> None:
    earlier = state.versions[version].rolled_back
    if earlier:
        raise life_conflict(
            state,
            f"{version} was rolled back: read the report of {earlier}, undo that, or start it "
            "with `again`",
            version=version,
            rolled_back=earlier,
        )


def _refuse_strangers(rollout: Rollout, weights: Mapping[str, float]) -> None:
    known = [candidate.version for candidate in rollout.candidates]
    faults = [
        Fault(f"weights.{version}", "is no candidate", f"/weights/{version}", allowed=known)
        for version in weights
        if version not in known
    ]
    if faults:
        raise InvalidInput(faults)
