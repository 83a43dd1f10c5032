"""The judge's promises, by simulation with fixed seeds; ``make judge`` runs more of each.

Here 305 plans of candidates within their guards, of eight kinds together: without one that is
rolled back, the probability of that is below 1 % with 95 % confidence (rule of three).
"""

from __future__ import annotations

import math

import pytest

from control_plane.routing.guards import Guards
from control_plane.routing.judge.evidence import Evidence
from control_plane.routing.judge.verdict import Decision, Step, Verdict
from loadtests.judge.curves import HEAVY
from loadtests.judge.population import Fault, World
from loadtests.judge.runs import Outcome, run
from loadtests.judge.single_look import single_look


def outcomes(runs: int, seed: int, world: World, fault: Fault, **how: object) -> list[Outcome]:
    return [run(world, fault, seed + number, **how) for number in range(runs)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("world", "runs"),
    [(World(), 150), (HEAVY, 50), (World(always_failing=25), 20),
     (World(subjects=100, always_failing=4), 20), (World(subjects=40), 20)],
    ids=["usual", "heavy", "some always fail", "few, some always fail", "few"],
)  # fmt: skip
def test_an_identical_candidate_is_not_rolled_back_over_a_whole_plan(
    world: World, runs: int
) -> None:
    ended = outcomes(runs, 100, world, Fault())
    assert sum(each.looks for each in ended) == 90 * runs
    assert [each for each in ended if each.rolled_back_s] == []


@pytest.mark.parametrize(
    ("weights", "controls"), [((0.05, 0.2), (0.2, 0.8)), ((0.6, 0.9), (0.4, 0.1))]
)
def test_nor_is_it_where_the_lanes_differ_in_size(
    weights: tuple[float, ...], controls: tuple[float, ...]
) -> None:
    ended = outcomes(15, 200, HEAVY, Fault(), weights=weights, controls=controls)
    assert [each for each in ended if each.rolled_back_s] == []


def test_a_test_of_one_look_would_roll_back_identical_candidates() -> None:
    """The same simulation finds the fault in a judge that looks again and again at p < 0.01."""
    ended = outcomes(30, 100, HEAVY, Fault(), by=single_look)
    assert sum(each.rolled_back_s is not None for each in ended) >= 5


def test_nor_is_one_that_is_just_as_slow_as_it_may_be() -> None:
    ended = outcomes(15, 300, HEAVY, Fault(slower=1.25))
    assert [each for each in ended if each.rolled_back_s] == []


@pytest.mark.parametrize(
    ("fault", "within_s", "by"),
    [(Fault(errors=0.05), 30.0, {"failing_subjects", "failed_requests"}),
     (Fault(slower=2.0), 60.0, {"latency_p50"}), (Fault(errors=1.0), 10.0, {"broken"})],
    ids=["errors", "latency", "broken"],
)  # fmt: skip
def test_a_bad_candidate_is_rolled_back_in_time(
    fault: Fault, within_s: float, by: set[str]
) -> None:
    """At 10 % of 200 requests a second, in at least 99 % of 300 runs."""
    ended = outcomes(300, 1000, World(), fault, weights=(0.1,), steps=3, seconds=within_s)
    late = [each for each in ended if each.rolled_back_s is None]
    assert len(late) <= 3
    assert by & {test for each in ended for test in each.tests}


def test_a_simulation_counts_what_it_draws() -> None:
    """The world is what it says: rate, failures, median latency; and a judge sees it grow."""
    seen: list[Evidence] = []

    def watch(evidence: Evidence, _guards: Guards, _step: Step) -> Verdict:
        seen.append(evidence)
        return Verdict(Decision.HOLD, (), ())

    run(World(rate=400.0, errors=0.05), Fault(), 7, weights=(0.5,), by=watch)
    last = seen[-1].candidate
    requests = sum(last.requests)
    assert len(seen) == 30
    assert math.isclose(requests, 400 * 60 / 2, rel_tol=0.1)
    assert math.isclose(sum(last.failed) / requests, 0.05, rel_tol=0.25)
    assert sum(map(sum, last.latency.values())) == requests - sum(last.failed)
    assert sum(map(sum, last.labels.values())) == requests - sum(last.failed)
    assert 0 < last.failing_subjects <= sum(last.failed)
    assert sum(seen[0].candidate.requests) < sum(seen[1].candidate.requests) < requests
