"""What becomes of a step: promote, hold or roll back, and the reasons that are given."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.routing.guards import Guards
from control_plane.routing.judge.evidence import Arm, Evidence
from control_plane.routing.judge.fields import bucket_of
from control_plane.routing.judge.findings import State
from control_plane.routing.judge.verdict import Decision, Verdict, judge, thresholds
from tests.unit.routing.judge.arms import arm, spread, step

LABELS = {"yes": 1400, "no": 600}
WORSE: dict[str, tuple[Arm, Arm]] = {
    "failing_subjects": (arm(failed=30, failing_subjects=30), arm(failed=0)),
    "failed_requests": (arm(failed=200, failing_subjects=9), arm(failed=10, failing_subjects=8)),
    "latency_p50": (arm(latency_s=0.03), arm()),
    "latency_p99": (arm(slow=(150, 0.5)), arm(slow=(18, 0.06))),
    "label_shift": (arm(labels={"yes": 900, "no": 1100}), arm(labels=LABELS)),
    "accuracy": (arm(scored=(800, 0.6)), arm(scored=(800, 0.9))),
    "broken": (arm(40, failed=30, failing_subjects=2, groups=2), arm(40, groups=2)),
}


def judged(candidate: Arm, control: Arm, guards: Guards | None = None, **changes: Any) -> Verdict:
    return judge(Evidence(candidate, control), guards or Guards(), step(**changes))


def alarms(verdict: Verdict) -> set[str]:
    return {each.test for each in verdict.findings if each.state is State.ALARM}


def test_a_candidate_like_its_control_is_promoted() -> None:
    same = arm(failed=4, labels=LABELS, scored=(500, 0.9))
    verdict = judged(same, same)
    assert verdict.decision is Decision.PROMOTE
    assert verdict.reasons == ("Nothing speaks against the candidate",)
    assert {each.test for each in verdict.findings} == set(WORSE)


@pytest.mark.parametrize("test", WORSE)
def test_each_test_finds_what_it_is_for_and_says_so(test: str) -> None:
    candidate, control = WORSE[test]
    verdict = judged(candidate, control)
    assert verdict.decision is Decision.ROLL_BACK
    assert test in alarms(verdict)
    (reason,) = (each for each in verdict.reasons if each.startswith(f"{test}: "))
    (finding,) = (each for each in verdict.findings if each.test == test)
    assert finding.sentence in reason
    assert finding.candidate is not None
    assert finding.control is not None
    if finding.e_value is not None:
        assert finding.e_value >= (finding.threshold or 0)


def test_a_candidate_that_is_better_by_far_is_promoted() -> None:
    much = 1_000_000
    worse = arm(much, failed=much // 5, latency_s=0.1, scored=(much, 0.1))
    better = arm(much, latency_s=0.01, scored=(much, 0.99))
    assert judged(better, worse).decision is Decision.PROMOTE


@pytest.mark.parametrize("test", WORSE)
def test_a_better_candidate_is_not_rolled_back(test: str) -> None:
    candidate, control = WORSE[test]
    assert test == "label_shift" or test not in alarms(judged(control, candidate))


@pytest.mark.parametrize(
    ("guard", "tests"),
    [("error_ratio", {"failing_subjects", "failed_requests"}), ("max_error_rate", {"broken"}),
     ("latency_p50_ratio", {"latency_p50"}), ("latency_p99_ratio", {"latency_p99"}),
     ("max_shift", {"label_shift"}), ("max_accuracy_drop", {"accuracy"})],
)  # fmt: skip
def test_a_guard_that_is_off_tests_nothing(guard: str, tests: set[str]) -> None:
    guards = msgspec.convert({guard: None}, Guards)
    for test in tests:
        verdict = judged(*WORSE[test], guards=guards)
        assert not tests & {each.test for each in verdict.findings}


def test_the_median_is_not_judged_by_the_tail() -> None:
    """Where nearly all answers take the same time, the tail begins right behind the median."""
    guards = Guards(latency_p99_ratio=None)
    all_alike, tail = bucket_of(0.02), bucket_of(0.5)
    flat = msgspec.structs.replace(arm(), latency={all_alike: spread(2000)})
    tailed = msgspec.structs.replace(arm(), latency={all_alike: spread(1700), tail: spread(300)})
    assert judged(tailed, flat, guards).decision is Decision.PROMOTE
    assert alarms(judged(tailed, flat)) == {"latency_p99"}


def test_what_a_guard_tolerates_is_no_alarm() -> None:
    guards = Guards(error_ratio=10.0, latency_p50_ratio=2.0, latency_p99_ratio=30.0, max_shift=0.4,
                    max_accuracy_drop=0.5)  # fmt: skip
    for test in ("latency_p50", "latency_p99", "label_shift", "accuracy"):
        assert judged(*WORSE[test], guards=guards).decision is not Decision.ROLL_BACK
    within = arm(failed=40, failing_subjects=40), arm(failed=10, failing_subjects=10)
    assert alarms(judged(*within)) >= {"failing_subjects"}
    assert not alarms(judged(*within, guards=guards))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"elapsed_s": 299.0}, "at least 300 s; 299 s"), ({"least_requests": 3000}, "3000 requests")],
)
def test_a_step_is_held_until_it_has_lasted(changes: dict[str, Any], words: str) -> None:
    verdict = judged(arm(), arm(), **changes)
    assert verdict.decision is Decision.HOLD
    assert words in verdict.reasons[0]


def test_a_step_is_held_while_too_few_groups_were_seen_on_either_side() -> None:
    for sides in ((arm(groups=9), arm()), (arm(), arm(groups=9))):
        verdict = judged(*sides)
        assert verdict.decision is Decision.HOLD
        assert "from 9 of 64 groups" in verdict.reasons[0]
    assert judged(arm(groups=10), arm(groups=10)).decision is Decision.PROMOTE


def test_a_step_is_held_while_a_test_is_half_way_to_an_alarm() -> None:
    verdict = judged(arm(failed=9), arm(failed=0))
    assert verdict.decision is Decision.HOLD
    assert "half-way to an alarm" in verdict.reasons[0]
    assert judged(arm(failed=5), arm(failed=0)).decision is Decision.PROMOTE


def test_feedback_alone_rolls_back_or_holds_but_never_promotes() -> None:
    perfect, bad = arm(scored=(2000, 1.0)), arm(scored=(2000, 0.5))
    assert judged(perfect, bad, elapsed_s=1.0).decision is Decision.HOLD
    assert judged(perfect, bad, least_requests=3000).decision is Decision.HOLD
    failing = arm(failed=100, scored=(1900, 1.0))
    assert judged(failing, bad).decision is Decision.ROLL_BACK
    assert alarms(judged(bad, perfect)) == {"accuracy"}


def test_shadow_is_not_judged_by_its_latency_but_by_agreement() -> None:
    guards = Guards(min_agreement=0.95)
    slow = arm(latency_s=0.5, compared=(2000, 1990))
    verdict = judged(slow, arm(), guards, shadow=True, weight=0.0, control_weight=0.0)
    assert verdict.decision is Decision.PROMOTE
    assert not [each for each in verdict.findings if each.test.startswith("latency")]
    other = arm(compared=(2000, 1600))
    verdict = judged(other, arm(), guards, shadow=True, weight=0.0, control_weight=0.0)
    assert alarms(verdict) == {"agreement"}
    (finding,) = (each for each in verdict.findings if each.test == "agreement")
    low, high = finding.interval or (0, 0)
    assert finding.candidate == 0.8
    assert low < 0.8 < high < 0.95
    assert "agreement" not in {each.test for each in judged(other, arm(), guards).findings}


def test_shadow_is_judged_by_its_failures() -> None:
    verdict = judged(arm(failed=100), arm(), shadow=True, weight=0.0, control_weight=0.0)
    assert alarms(verdict) == {"failed_requests"}


def test_without_a_control_the_one_before_is_what_counts() -> None:
    everything = step(weight=1.0, control_weight=0.0)
    slow = Evidence(arm(latency_s=0.03), Arm())
    before = judge(slow, Guards(), everything, before=arm())
    assert alarms(before) == {"latency_p50"}
    assert "failing_subjects" not in {each.test for each in before.findings}
    alone = judge(slow, Guards(), everything)
    assert alone.decision is Decision.HOLD
    assert "control" in alone.reasons[0]


def test_a_candidate_that_answers_hardly_anybody_is_broken_even_without_a_control() -> None:
    everything = step(weight=1.0, control_weight=0.0)
    gone = Evidence(arm(failed=1800), Arm())
    assert alarms(judge(gone, Guards(), everything)) == {"broken"}


def test_without_a_control_a_point_of_failures_is_the_hour_and_not_the_candidate() -> None:
    everything = step(weight=1.0, control_weight=0.0)
    little = Evidence(arm(40_000, failed=300), Arm())
    assert judge(little, Guards(), everything, before=arm(40_000)).decision is Decision.PROMOTE
    assert alarms(judged(arm(40_000, failed=300), arm(40_000))) >= {"failed_requests"}
    much = Evidence(arm(40_000, failed=1200), Arm())
    assert alarms(judge(much, Guards(), everything, before=arm(40_000))) == {"failed_requests"}


@pytest.mark.parametrize(
    ("candidate", "control"),
    [
        (arm(19, failed=19, groups=1), arm()),
        (arm(40, failed=19, groups=1), arm()),
        (arm(40, failed=40, groups=1), arm(19, groups=1)),
        (arm(40, failed=40, groups=1), arm(40, failed=11, groups=1)),
        (arm(40, failed=40, failing_subjects=1, groups=1), arm()),
    ],
)
def test_the_fuse_needs_requests_a_gross_fault_and_a_healthy_control(
    candidate: Arm, control: Arm
) -> None:
    assert "broken" not in alarms(judged(candidate, control))


def test_one_busy_subject_that_always_fails_does_not_blow_the_fuse() -> None:
    requests = (900, *[10] * 20, *[0] * 43)
    one = Arm(requests=requests, failed=(900, 1, *[0] * 62), failing_subjects=2)
    assert not alarms(judged(one, arm()))


def test_false_alarms_are_divided_by_tests_and_steps() -> None:
    first, other = thresholds(Guards(), 3)
    assert first == pytest.approx(6.397, abs=0.001)
    assert other - first == pytest.approx(1.609, abs=0.001)
    assert thresholds(Guards(false_alarm=0.001), 3)[0] > first
    assert thresholds(Guards(), 4)[0] > first


def test_a_verdict_is_json() -> None:
    verdict = judged(arm(failed=30, labels=LABELS), arm(labels=LABELS))
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


COUNTS = st.lists(st.integers(0, 50), min_size=64, max_size=64).map(tuple)


KINDS = st.fixed_dictionaries(
    {"shadow": st.booleans(), "weight": st.floats(0.001, 1), "control_weight": st.floats(0, 1)}
)


@settings(deadline=None)
@given(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS), KINDS)
def test_every_evidence_gets_a_verdict(
    counts: tuple[tuple[int, ...], ...], kind: dict[str, Any]
) -> None:
    """Counts come from many processes at slightly different times: they need not fit together."""
    a, b, c, d, e = counts
    strange = Arm(requests=a, failed=b, failing_subjects=sum(c), latency={217: d, 0: e},
                  labels={"x": a, "": c}, scored=d, score=tuple(n * 10**7 for n in e),
                  compared=b, agreed=c)  # fmt: skip
    evidence = Evidence(strange, Arm(requests=e, failed=a, latency={3: b}, labels={"y": d}))
    assert judge(evidence, Guards(min_agreement=0.9), step(**kind), strange).findings


@pytest.mark.parametrize(
    "document",
    [{"error_ratio": 0.9}, {"max_error_rate": 0.01}, {"latency_p50_ratio": 0.5}, {"max_shift": -1},
     {"min_agreement": 1}, {"max_accuracy_drop": 2}, {"false_alarm": 0}, {"false_alarm": None},
     {"unheard_of": 1}],
)  # fmt: skip
def test_guards_out_of_range_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Guards)
