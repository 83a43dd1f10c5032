"""Takes back the end of a rollout: its roll-back, or the promotion that it came to."""

from __future__ import annotations

from msgspec import structs

from control_plane.routing.decisions.decided import (
    Decided,
    life_conflict,
    version_of,
    with_version,
)
from control_plane.routing.decisions.rollouts import begun_anew, shared_out
from control_plane.routing.split import Split, bucket_count, taken_again
from control_plane.routing.state import BUCKETS, EndedRollout, ModelState
from control_plane.types import Life


def undo(state: ModelState, ended: EndedRollout, now: int) -> Decided:
    """Take up a rollout that was rolled back, or take back what it promoted.

    It goes on at its step with the same subjects, and its evidence begins anew. A candidate that
    was taken out of a rollout with others joins them again. After a promotion the version before
    is the stable one again, and the promoted one stands where it stood.

    Args:
        state: Of the rollout's model.
        ended: What is kept of the rollout.
        now: Epoch second.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if what has come since does not allow it.
    """
    if ended.undone:
        raise life_conflict(state, f"The end of {ended.id} is undone already")
    if ended.outcome == "aborted":
        raise life_conflict(state, f"{ended.id} was aborted by an operator: start another rollout")
    if ended.outcome == "promoted":
        undone = _unpromoted(state, ended)
    elif ended.id == ended.rollout.id:
        undone = _taken_up(state, ended, now)
    else:
        undone = _taken_in(state, ended, now)
    return Decided(state=undone, action="rollout.undo", ended=structs.replace(ended, undone=True))


def _unpromoted(state: ModelState, ended: EndedRollout) -> ModelState:
    _refuse_running(state)
    if state.stable != ended.promoted or ended.promoted_from is None:
        raise life_conflict(
            state, f"{ended.promoted} is not the stable version any more: nothing is left to undo"
        )
    stable = ended.rollout.stable
    stands = version_of(state, stable)
    if stands.life is not Life.STABLE or not stands.loaded or stands.rolled_back:
        raise life_conflict(
            state,
            f"{stable} cannot take over as it stands: load it and promote it instead",
            version=stable,
            life=stands.life,
            loaded=stands.loaded,
            rolled_back=stands.rolled_back,
        )
    restored = with_version(state, ended.promoted, ended.promoted_from)
    return structs.replace(restored, stable=stable)


def _taken_up(state: ModelState, ended: EndedRollout, now: int) -> ModelState:
    _refuse_running(state)
    if state.stable != ended.rollout.stable:
        raise life_conflict(
            state,
            f"{ended.id} compared with {ended.rollout.stable}, which is not the stable version "
            "any more: start another rollout",
        )
    return structs.replace(_forgiven(state, ended), rollout=begun_anew(ended.rollout, now))


def _taken_in(state: ModelState, ended: EndedRollout, now: int) -> ModelState:
    rollout = state.rollout
    if rollout is None or rollout.id != ended.rollout.id:
        raise life_conflict(
            state,
            f"{ended.rollout.id}, from which the candidate was taken, is over: start another "
            "rollout with `again`",
        )
    candidate = ended.rollout.candidates[0]
    total = sum(bucket_count(each.weight) for each in (*rollout.candidates, candidate))
    if total > BUCKETS:
        raise life_conflict(
            state, f"The other candidates leave {candidate.version} no room: lower their weights"
        )
    before = Split(rollout.buckets, rollout.control)
    held = ended.rollout.buckets.get(candidate.version, ())
    split = taken_again(before, candidate.version, held)
    joined = structs.replace(rollout, buckets=split.buckets, control=split.control)
    joined = shared_out(joined, (*rollout.candidates, candidate))
    return structs.replace(_forgiven(state, ended), rollout=begun_anew(joined, now))


def _forgiven(state: ModelState, ended: EndedRollout) -> ModelState:
    """The model with nothing held against the candidate that was taken back."""
    version = ended.rollout.candidates[0].version
    stands = version_of(state, version)
    if stands.rolled_back != ended.id or stands.life is Life.RETIRED or not stands.loaded:
        raise life_conflict(
            state,
            f"{version} does not stand where its roll-back left it: start another rollout",
            version=version,
            life=stands.life,
            loaded=stands.loaded,
            rolled_back=stands.rolled_back,
        )
    return with_version(state, version, structs.replace(stands, rolled_back="", note=""))


def _refuse_running(state: ModelState) -> None:
    if state.rollout is not None:
        raise life_conflict(
            state, f"A rollout of {state.name} is running: promote or abort it first"
        )
