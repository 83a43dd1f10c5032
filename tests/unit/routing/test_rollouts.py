"""A rollout that runs: what may start, how weights and steps go, what a pause is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from control_plane.routing.decisions import endings, rollouts
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.guards import Guards
from control_plane.routing.state import MAX_STEPS, Candidate, ModelState, Step, VersionState
from control_plane.types import Life
from tests.unit.routing.states import (
    NOW,
    OPERATOR,
    PLAN,
    STARTED,
    begun,
    fields,
    house,
    on_plan,
    ready,
    refusal,
    rollout_of,
    weighted,
)

BREAK = Gate(ready=True, changes=({"where": "/inputs/text"},))
TWO = Candidate(version="v2.0.0", weight=10)


def proposal(*candidates: Candidate, **others: Any) -> Proposal:
    return Proposal(candidates=candidates, **others)


def held(state: ModelState, version: str = "v2.0.0") -> int:
    """Buckets of a version, or of the control."""
    rollout = rollout_of(state)
    ranges = rollout.control if version == "control" else rollout.buckets.get(version, ())
    return sum(end - first for first, end in ranges)


def test_a_rollout_of_weights_starts() -> None:
    decided = begun(house(), proposal(TWO, sticky_by="header:X-User", public=True))
    rollout = rollout_of(decided.state)
    assert decided.action == "rollout.start"
    assert (rollout.id, rollout.stable, rollout.candidates) == (STARTED, "v1.1.0", (TWO,))
    assert (rollout.sticky_by, rollout.public) == ("header:X-User", True)
    assert (rollout.started_at, rollout.started_by, rollout.step_since) == (NOW, OPERATOR, NOW)
    assert rollout.stage == "1.0"
    assert held(decided.state) == held(decided.state, "control") == 100


def test_a_plan_s_first_step_is_what_the_candidate_gets() -> None:
    plan = (Step(shadow=100), Step(weight=1, shadow=50), Step(weight=100))
    state = begun(house(), proposal(Candidate(version="v2.0.0"), plan=plan)).state
    assert rollout_of(state).candidates == (Candidate(version="v2.0.0", shadow=100),)
    assert held(state) == held(state, "control") == 0
    assert rollout_of(state).control_stage == ""
    state = endings.advance(state, NOW + 600, OPERATOR).state
    assert rollout_of(state).candidates == (Candidate(version="v2.0.0", weight=1, shadow=50),)
    assert held(state) == 10


@pytest.mark.parametrize("plan", [(), PLAN])
def test_guards_are_the_standard_ones_unless_given_or_null(plan: tuple[Step, ...]) -> None:
    candidate = Candidate(version="v2.0.0") if plan else TWO
    own = Guards(error_ratio=2.0)
    for given, expected in (({}, Guards()), ({"guards": own}, own), ({"guards": None}, None)):
        state = begun(house(), proposal(candidate, plan=plan, **given)).state
        assert rollout_of(state).guards == expected


PLANNED = Candidate(version="v2.0.0")
FAULTS: dict[str, tuple[Proposal, set[str]]] = {
    "no candidate": (proposal(), {"candidates"}),
    "five candidates": (
        proposal(*(Candidate(version=f"v{n}.0.0", weight=1) for n in range(5, 10))),
        {"candidates", *(f"candidates[{n}].version" for n in range(5))},
    ),
    "an unknown version": (
        proposal(Candidate(version="v7.0.0", weight=1)), {"candidates[0].version"}
    ),
    "a retired version": (
        proposal(Candidate(version="v0.1.0", weight=1)), {"candidates[0].version"}
    ),
    "the stable version": (
        proposal(Candidate(version="v1.1.0", weight=1)), {"candidates[0].version"}
    ),
    "one twice": (proposal(TWO, TWO), {"candidates[1].version"}),
    "a weight between buckets": (
        proposal(Candidate(version="v2.0.0", weight=0.05)), {"candidates[0].weight"}
    ),
    "a shadow beyond all": (
        proposal(Candidate(version="v2.0.0", shadow=100.1)), {"candidates[0].shadow"}
    ),
    "weights beyond all": (
        proposal(Candidate(version="v2.0.0", weight=99.9), Candidate(version="v3.0.0", weight=0.2)),
        {"candidates"},
    ),
    "neither weight nor shadow": (proposal(PLANNED), {"candidates"}),
    "a plan for two": (
        proposal(PLANNED, Candidate(version="v3.0.0"), plan=PLAN), {"candidates"}
    ),
    "a weight beside a plan": (proposal(TWO, plan=PLAN), {"candidates[0]"}),
    "a plan that takes back": (
        proposal(PLANNED, plan=(Step(weight=10), Step(weight=9.9, shadow=1))), {"plan[1].weight"}
    ),
    "a plan that only shadows": (proposal(PLANNED, plan=(Step(shadow=5),)), {"plan[0].weight"}),
    "a step of nothing": (
        proposal(PLANNED, plan=(Step(), Step(weight=1))), {"plan[0]"}
    ),
    "a step after everybody": (
        proposal(PLANNED, plan=(Step(weight=50), Step(weight=100), Step(weight=100))), {"plan[2]"}
    ),
    "nobody to compare with": (
        proposal(PLANNED, plan=(Step(shadow=100), Step(weight=100))), {"plan[1].weight"}
    ),
    "less than a bucket": (
        proposal(PLANNED, plan=(Step(weight=1e-9), Step(weight=50))), {"plan[0].weight"}
    ),
    "steps between buckets": (
        proposal(PLANNED, plan=(Step(weight=0.05), Step(weight=1, shadow=33.33))),
        {"plan[0].weight", "plan[1].shadow"},
    ),
    "too many steps": (proposal(PLANNED, plan=(Step(weight=1),) * (MAX_STEPS + 1)), {"plan"}),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_rolled_out_is_told_in_full(case: str) -> None:
    asked, expected = FAULTS[case]
    state = house(**{"v0.1.0": VersionState(life=Life.RETIRED, since=1)})
    assert fields(lambda: begun(state, asked)) == expected


def test_one_rollout_at_a_time() -> None:
    error = refusal("LIFE_CONFLICT", lambda: begun(on_plan(), proposal(TWO)))
    assert error.details["rollout"] == STARTED


def test_without_a_stable_version_there_is_nothing_to_compare_with() -> None:
    state = structs.replace(house(), stable=None)
    refusal("LIFE_CONFLICT", lambda: begun(state, proposal(TWO)))


def test_what_was_rolled_back_is_tried_again_only_explicitly() -> None:
    marked = VersionState(life=Life.EXPERIMENTAL, since=3, rolled_back="ro_earlier")
    state = house(**{"v2.0.0": marked})
    error = refusal("LIFE_CONFLICT", lambda: begun(state, proposal(TWO)))
    assert error.details["rolled_back"] == "ro_earlier"
    assert begun(state, proposal(TWO, again=True)).state.versions["v2.0.0"] == marked


@pytest.mark.parametrize(
    "asked", [proposal(TWO), proposal(PLANNED, plan=(Step(shadow=1), Step(weight=1)))]
)
def test_what_gets_a_weight_has_to_pass_the_gate(asked: Proposal) -> None:
    refusal("CONTRACT_BREAKING", lambda: begun(house(), asked, {"v2.0.0": BREAK}))
    refusal("VERSION_NOT_READY", lambda: begun(house(), asked, {"v2.0.0": Gate(ready=False)}))
    refusal("VERSION_NOT_READY", lambda: begun(house(), asked, {}))
    allowed = structs.replace(BREAK, allow_breaking=True)
    assert begun(house(), asked, {"v2.0.0": allowed}).state.rollout


def test_what_is_only_shadowed_need_not_pass() -> None:
    asked = proposal(Candidate(version="v2.0.0", shadow=5))
    assert begun(house(), asked, {"v2.0.0": BREAK}).state.rollout


def test_weights_are_set_and_evidence_begins_anew() -> None:
    state = weighted(v2=10, v3=5)
    decided = rollouts.set_weights(state, {"v2.0.0": 20}, NOW + 9, {})
    after = rollout_of(decided.state)
    assert decided.action == "rollout.weights"
    assert [candidate.weight for candidate in after.candidates] == [20, 5]
    assert (after.stage, after.step_since, after.id) == ("2.0", NOW + 9, STARTED)
    assert held(decided.state) == held(decided.state, "control") == 200
    assert after.buckets["v3.0.0"] == rollout_of(state).buckets["v3.0.0"]


def test_the_same_weights_change_nothing() -> None:
    state = weighted(v2=10)
    assert rollouts.set_weights(state, {"v2.0.0": 10.0}, NOW + 9, {}).state == state


def test_a_first_weight_has_to_pass_the_gate() -> None:
    state = begun(house(), proposal(Candidate(version="v2.0.0", shadow=5))).state
    gates = {"v2.0.0": BREAK}
    refusal("CONTRACT_BREAKING", lambda: rollouts.set_weights(state, {"v2.0.0": 1}, NOW, gates))
    assert held(rollouts.set_weights(state, {"v2.0.0": 1}, NOW, ready(state)).state) == 10


WEIGHTS: dict[str, tuple[dict[str, float], set[str]]] = {
    "of a stranger": ({"v4.0.0": 1}, {"weights.v4.0.0"}),
    "between buckets": ({"v2.0.0": 0.25}, {"weights.v2.0.0"}),
    "of no number": ({"v2.0.0": float("nan")}, {"weights.v2.0.0"}),
    "beyond all": ({"v2.0.0": 95.1}, {"weights"}),
    "of nothing": ({"v2.0.0": 0, "v3.0.0": 0}, {"weights"}),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_are_refused(case: str) -> None:
    weights, expected = WEIGHTS[case]
    state = weighted(v2=10, v3=5)
    assert fields(lambda: rollouts.set_weights(state, weights, NOW, {})) == expected


def test_a_plan_s_weights_are_not_set() -> None:
    refusal("LIFE_CONFLICT", lambda: rollouts.set_weights(on_plan(), {"v2.0.0": 5}, NOW, {}))


def test_a_pause_does_not_count_as_time_at_the_step() -> None:
    paused = rollouts.pause(on_plan(), NOW + 100)
    assert paused.action == "rollout.pause"
    assert (rollout_of(paused.state).paused, rollout_of(paused.state).paused_at) == (
        True,
        NOW + 100,
    )
    assert rollouts.pause(paused.state, NOW + 500).state == paused.state
    resumed = rollouts.resume(paused.state, NOW + 1000)
    expected = structs.replace(rollout_of(on_plan()), step_since=NOW + 900)
    assert (resumed.action, rollout_of(resumed.state)) == ("rollout.resume", expected)
    assert rollouts.resume(resumed.state, NOW + 5000).state == resumed.state


def test_weights_set_in_a_pause_begin_when_it_ends() -> None:
    state = rollouts.pause(weighted(v2=10), NOW + 100).state
    state = rollouts.set_weights(state, {"v2.0.0": 20}, NOW + 300, {}).state
    assert rollout_of(state).paused
    state = rollouts.resume(state, NOW + 700).state
    assert rollout_of(state).step_since == NOW + 700


def test_steps_follow_and_move_nobody_back() -> None:
    state, seen = on_plan(), []
    for number in range(3):
        before = rollout_of(state)
        decided = endings.advance(state, NOW + 600 * (number + 1), OPERATOR)
        state = decided.state
        after = rollout_of(state)
        assert (decided.action, decided.ended) == ("rollout.advance", None)
        assert (after.step, after.step_since) == (number + 1, NOW + 600 * (number + 1))
        assert after.id == before.id
        seen.append((held(state), held(state, "control"), after.stage, after.control_stage))
    assert seen == [(100, 100, "1.1", ""), (500, 500, "1.2", ""), (1000, 0, "1.3", "1.2")]


def test_a_paused_rollout_stays_at_its_step() -> None:
    state = rollouts.pause(on_plan(), NOW).state
    refusal("LIFE_CONFLICT", lambda: endings.advance(state, NOW, OPERATOR))


def test_without_a_plan_there_is_no_next_step() -> None:
    refusal("LIFE_CONFLICT", lambda: endings.advance(weighted(v2=1), NOW, OPERATOR))


WITHOUT_ONE: dict[str, Callable[[ModelState], Decided]] = {
    "weights": lambda s: rollouts.set_weights(s, {}, NOW, {}),
    "pause": lambda s: rollouts.pause(s, NOW),
    "resume": lambda s: rollouts.resume(s, NOW),
    "advance": lambda s: endings.advance(s, NOW, OPERATOR),
    "promote": lambda s: endings.promote(s, NOW, OPERATOR),
    "abort": lambda s: endings.abort(s, OPERATOR),
    "roll back": lambda s: endings.roll_back(s, OPERATOR, None, "", {}),
}


@pytest.mark.parametrize("case", WITHOUT_ONE)
def test_without_a_rollout_there_is_no(case: str) -> None:
    refusal("LIFE_CONFLICT", lambda: WITHOUT_ONE[case](house()))
