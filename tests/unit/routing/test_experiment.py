"""Where subjects sit in a rollout."""

from __future__ import annotations

from control_plane.routing.experiment import CONTROL, Experiment
from control_plane.routing.split import Split, allocate
from control_plane.routing.state import Candidate, Rollout
from control_plane.types import Version

SUBJECTS = [f"user-{number}" for number in range(2000)]
V1, V2, V3 = (Version(major, 0, 0) for major in (1, 2, 3))


def experiment(*candidates: Candidate, present: tuple[Version, ...] = (V1, V2, V3)) -> Experiment:
    split = allocate(Split(), {each.version: each.weight for each in candidates})
    rollout = Rollout(
        id="ro_test", stable="v1.0.0", candidates=candidates, buckets=split.buckets,
        control=split.control,
    )  # fmt: skip
    return Experiment("house", rollout, present)


def test_candidate_and_control_are_of_one_size_and_the_rest_is_not_compared() -> None:
    seats = [
        experiment(Candidate(version="v2.0.0", weight=20)).seat(subject) for subject in SUBJECTS
    ]
    arms = [seat.side.arm for seat in seats]
    assert {"v2.0.0", CONTROL, ""} == set(arms)
    assert 300 < arms.count("v2.0.0") < 500
    assert 300 < arms.count(CONTROL) < 500
    for seat in seats:
        stable = seat.side.arm != "v2.0.0"
        assert str(seat.side.ref.version) == ("v1.0.0" if stable else "v2.0.0")
        assert seat.side.lane == ("control" if seat.side.arm == CONTROL else "main")
        assert 0 <= seat.group < 64


def test_a_candidate_that_is_not_here_leaves_its_subjects_with_the_stable_version() -> None:
    absent = experiment(Candidate(version="v2.0.0", weight=50, shadow=50), present=(V1, V3))
    assert {absent.seat(subject).side.ref.version for subject in SUBJECTS} == {V1}
    assert absent.shadows == ()


def test_a_shadow_is_judged_by_what_it_says_only_while_it_answers_nobody() -> None:
    both = experiment(
        Candidate(version="v2.0.0", weight=10, shadow=50),
        Candidate(version="v3.0.0", shadow=100),
    )
    assert [(each.ref.version, each.share, each.is_judged) for each in both.shadows] == [
        (V2, 0.5, False),
        (V3, 1.0, True),
    ]
