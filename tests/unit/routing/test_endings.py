"""How rollouts end, what is kept of them, and how an end is taken back."""

from __future__ import annotations

import pytest
from msgspec import structs

from control_plane.routing.decisions import endings, lives, rollouts
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.decisions.undoing import undo
from control_plane.routing.state import (
    Candidate,
    EndedRollout,
    ModelState,
    Rollout,
    Step,
    VersionState,
)
from control_plane.types import Life
from tests.unit.routing.states import (
    NOW,
    OPERATOR,
    READY,
    STARTED,
    begun,
    house,
    on_plan,
    refusal,
    rollout_of,
    weighted,
)

REPORT = {"failures": {"candidate": 40, "control": 1}}
WHY = "It fails more often"
PART = STARTED + ".v2.0.0"


def rolled_back(state: ModelState, version: str | None = None) -> tuple[ModelState, EndedRollout]:
    decided = endings.roll_back(state, "system", version, WHY, REPORT)
    assert decided.action == "rollout.roll_back"
    assert decided.ended is not None
    return decided.state, decided.ended


def promoted(state: ModelState, version: str | None = None) -> tuple[ModelState, EndedRollout]:
    decided = endings.promote(state, NOW, OPERATOR, version, WHY, REPORT)
    assert decided.action == "rollout.promote"
    assert decided.ended is not None
    return decided.state, decided.ended


def undone(state: ModelState, ended: EndedRollout, now: int = NOW) -> ModelState:
    decided = undo(state, ended, now)
    assert decided.action == "rollout.undo"
    assert decided.ended == structs.replace(ended, undone=True)
    return decided.state


def taken_up(before: Rollout, now: int) -> Rollout:
    return structs.replace(before, attempt=before.attempt + 1, step_since=now)


def test_the_end_of_the_plan_promotes() -> None:
    state = on_plan()
    for _ in range(3):
        state = endings.advance(state, NOW, OPERATOR).state
    assert state.stable == "v1.1.0"
    decided = endings.advance(state, NOW + 9, "system", WHY, REPORT)
    assert decided.action == "rollout.promote"
    assert (decided.state.stable, decided.state.rollout) == ("v2.0.0", None)
    assert decided.state.versions["v2.0.0"] == VersionState(life=Life.STABLE, since=NOW + 9)
    assert decided.state.versions["v1.1.0"].life is Life.STABLE
    assert decided.ended == EndedRollout(
        id=STARTED,
        model="house",
        rollout=rollout_of(state),
        outcome="promoted",
        by="system",
        reason=WHY,
        report=REPORT,
        promoted="v2.0.0",
        promoted_from=house().versions["v2.0.0"],
    )


def test_an_operator_promotes_at_any_step() -> None:
    paused = rollouts.pause(on_plan(), NOW).state
    for state in (on_plan(), paused, weighted(v2=1)):
        after, ended = promoted(state)
        assert (after.stable, after.rollout, ended.outcome) == ("v2.0.0", None, "promoted")


def test_of_several_candidates_one_is_named() -> None:
    state = weighted(v2=1, v3=1)
    error = refusal("LIFE_CONFLICT", lambda: promoted(state))
    assert error.details["candidates"] == ["v2.0.0", "v3.0.0"]
    refusal("LIFE_CONFLICT", lambda: promoted(state, "v4.0.0"))
    assert promoted(state, "v3.0.0")[0].stable == "v3.0.0"


def test_what_was_only_seen_in_shadow_is_not_promoted() -> None:
    shadowed = Proposal(candidates=(Candidate(version="v2.0.0", shadow=5),))
    refusal("LIFE_CONFLICT", lambda: promoted(begun(house(), shadowed, {}).state))


def test_an_aborted_rollout_leaves_everything_as_it_was() -> None:
    state = on_plan()
    decided = endings.abort(state, OPERATOR, "Not today")
    assert (decided.action, decided.state) == ("rollout.abort", house())
    assert decided.ended is not None
    assert (decided.ended.outcome, decided.ended.reason) == ("aborted", "Not today")
    assert decided.ended.rollout == state.rollout
    refusal("LIFE_CONFLICT", lambda: undone(decided.state, decided.ended))


def test_a_rolled_back_version_is_marked_and_its_rollout_over() -> None:
    before = rollouts.pause(on_plan(), NOW).state
    state, ended = rolled_back(before)
    assert (state.stable, state.rollout) == ("v1.1.0", None)
    assert state.versions["v2.0.0"] == VersionState(
        life=Life.EXPERIMENTAL, since=3, rolled_back=STARTED, note=WHY
    )
    assert (ended.id, ended.outcome, ended.by) == (STARTED, "rolled_back", "system")
    assert (ended.reason, ended.report, ended.rollout) == (WHY, REPORT, before.rollout)


def test_of_several_candidates_the_others_go_on_with_their_buckets() -> None:
    before = weighted(v2=20, v3=5)
    state, ended = rolled_back(before, "v2.0.0")
    went, goes = rollout_of(before), rollout_of(state)
    assert [candidate.version for candidate in goes.candidates] == ["v3.0.0"]
    assert goes.buckets == {"v3.0.0": went.buckets["v3.0.0"]}
    assert (goes.control, goes.stage) == (went.control, went.stage)
    assert state.versions["v2.0.0"].rolled_back == ended.id == PART
    assert ended.rollout.buckets == {"v2.0.0": went.buckets["v2.0.0"]}
    refusal("LIFE_CONFLICT", lambda: rolled_back(before))
    refusal("LIFE_CONFLICT", lambda: rolled_back(state, "v2.0.0"))
    last, whole = rolled_back(state)
    assert (last.rollout, whole.id) == (None, STARTED)


def test_a_roll_back_is_undone_at_the_step_and_with_the_subjects_it_had() -> None:
    before = endings.advance(on_plan(), NOW, OPERATOR).state
    state = undone(*rolled_back(before), now=NOW + 50)
    assert state == structs.replace(before, rollout=taken_up(rollout_of(before), NOW + 50))
    assert rollout_of(state).stage == "2.1"
    again = undone(*rolled_back(state), now=NOW + 60)
    assert rollout_of(again).stage == "3.1"


def test_a_paused_rollout_is_taken_up_paused() -> None:
    before = rollouts.pause(on_plan(), NOW).state
    state = undone(*rolled_back(before), now=NOW + 50)
    assert rollout_of(state).paused
    resumed = rollout_of(rollouts.resume(state, NOW + 70).state)
    assert resumed.step_since == NOW + 70


def test_a_candidate_that_was_taken_out_joins_again_with_its_subjects() -> None:
    before = weighted(v2=20, v3=5)
    state, ended = rolled_back(before, "v2.0.0")
    after = undone(state, ended, NOW + 50)
    assert rollout_of(after).buckets == rollout_of(before).buckets
    assert (rollout_of(after).control, rollout_of(after).stage) == (
        rollout_of(before).control,
        "2.0",
    )
    assert after.versions == before.versions


def test_of_free_buckets_a_candidate_that_joins_again_takes_its_own() -> None:
    before = weighted(v2=10, v3=10, v4=10)
    state, _ = rolled_back(before, "v2.0.0")
    after = rollout_of(undone(*rolled_back(state, "v3.0.0")))
    expected = {v: r for v, r in rollout_of(before).buckets.items() if v != "v2.0.0"}
    assert after.buckets == expected


def test_a_candidate_joins_again_where_others_grew() -> None:
    state, ended = rolled_back(weighted(v2=20, v3=5), "v2.0.0")
    state = rollouts.set_weights(state, {"v3.0.0": 80}, NOW, {}).state
    after = rollout_of(undone(state, ended))
    sizes = {v: sum(end - first for first, end in ranges) for v, ranges in after.buckets.items()}
    assert sizes == {"v2.0.0": 200, "v3.0.0": 800}
    full = rollouts.set_weights(state, {"v3.0.0": 80.1}, NOW, {}).state
    refusal("LIFE_CONFLICT", lambda: undone(full, ended))


def test_what_was_taken_out_of_a_rollout_that_is_over_stays_out() -> None:
    state, ended = rolled_back(weighted(v2=20, v3=5), "v2.0.0")
    over = endings.abort(state, OPERATOR).state
    refusal("LIFE_CONFLICT", lambda: undone(over, ended))
    other = begun(over, Proposal(candidates=(Candidate(version="v4.0.0", weight=1),))).state
    renamed = structs.replace(rollout_of(other), id="ro_other")
    refusal("LIFE_CONFLICT", lambda: undone(structs.replace(other, rollout=renamed), ended))


def test_a_promotion_is_undone() -> None:
    deprecated = VersionState(life=Life.DEPRECATED, since=3, deprecated_at=3)
    state, ended = promoted(on_plan(house(**{"v2.0.0": deprecated})))
    assert undone(state, ended) == house(**{"v2.0.0": deprecated})


def test_an_end_is_undone_once() -> None:
    state, ended = rolled_back(on_plan())
    refusal("LIFE_CONFLICT", lambda: undone(state, structs.replace(ended, undone=True)))
    refusal("LIFE_CONFLICT", lambda: undone(undone(state, ended), ended))


ROLLED, ROLLED_END = rolled_back(on_plan())
PROMOTED, PROMOTED_END = promoted(on_plan())
MOVED_ON: dict[str, tuple[ModelState, EndedRollout]] = {
    "another rollout runs": (
        begun(ROLLED, Proposal(candidates=(Candidate(version="v3.0.0", weight=1),))).state,
        ROLLED_END,
    ),
    "another version is stable": (lives.promote(ROLLED, "v1.0.0", NOW, READY).state, ROLLED_END),
    "the candidate was retired": (lives.retire(ROLLED, "v2.0.0", NOW).state, ROLLED_END),
    "the candidate was unloaded": (
        lives.set_loaded(ROLLED, "v2.0.0", loaded=False).state,
        ROLLED_END,
    ),
    "the candidate was promoted since": (
        lives.promote(
            lives.promote(ROLLED, "v2.0.0", NOW, READY).state, "v1.1.0", NOW, READY
        ).state,
        ROLLED_END,
    ),
    "another was promoted since": (
        lives.promote(PROMOTED, "v3.0.0", NOW, READY).state,
        PROMOTED_END,
    ),
    "the version before was deprecated": (
        lives.deprecate(PROMOTED, "v1.1.0", NOW).state,
        PROMOTED_END,
    ),
    "the version before was unloaded": (
        lives.set_loaded(PROMOTED, "v1.1.0", loaded=False).state,
        PROMOTED_END,
    ),
    "a rollout runs after the promotion": (
        begun(PROMOTED, Proposal(candidates=(Candidate(version="v3.0.0", weight=1),))).state,
        PROMOTED_END,
    ),
}


@pytest.mark.parametrize("case", MOVED_ON)
def test_an_end_is_not_undone_when(case: str) -> None:
    state, ended = MOVED_ON[case]
    refusal("LIFE_CONFLICT", lambda: undone(state, ended))


def test_the_version_before_is_not_restored_if_it_was_rolled_back_since() -> None:
    asked = Proposal(candidates=(Candidate(version="v1.1.0"),), plan=(Step(weight=50),))
    state, _ = rolled_back(begun(PROMOTED, asked).state)
    refusal("LIFE_CONFLICT", lambda: undone(state, PROMOTED_END))


def test_an_operator_promotes_only_what_is_ready() -> None:
    state = on_plan()
    away = {"v2.0.0": Gate(ready=False, reasons=("it is not loaded",))}

    def asked() -> Decided:
        return endings.promote(state, NOW, OPERATOR, gates=away)

    refusal("VERSION_NOT_READY", asked)
    ready = endings.promote(state, NOW, OPERATOR, gates={"v2.0.0": READY})
    assert ready.state.stable == "v2.0.0"
