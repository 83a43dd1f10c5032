"""What processes count, and what the judge reads of their sums."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.routing.judge.evidence import Evidence
from control_plane.routing.judge.fields import (
    BUCKETS,
    GROUPS,
    LABEL_LENGTH,
    LABELS,
    OTHER_LABELS,
    Side,
    bucket_end_s,
    bucket_of,
    buckets_of,
)
from control_plane.routing.judge.tally import MAX_SUBJECTS, Tally

NOTED = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(0, GROUPS - 1),
        st.one_of(st.none(), st.floats(1e-6, 1e5)),
        st.sampled_from(["yes", "no", "a|b", "ünï", "17"]),
    ),
    max_size=60,
)


def tallied(noted: list[tuple[Side, int, float | None, str]]) -> Tally:
    """A tally of requests; one without a latency has failed, and its label is its subject."""
    tally = Tally()
    for side, group, latency_s, label in noted:
        if latency_s is None:
            tally.failed(side, group, label)
        else:
            tally.answered(side, group, latency_s, label)
    return tally


@settings(deadline=None)
@given(NOTED, st.integers(0, 60))
def test_processes_together_count_what_one_would(
    noted: list[tuple[Side, int, float | None, str]], cut: int
) -> None:
    """Additive: however requests fall on processes and writes, the evidence is the same."""
    parts = [tallied(noted[:cut]).drain(), tallied(noted[cut:]).drain()]
    hash_: Counter[str] = Counter()
    for part in parts:
        hash_.update(part.counts)
    failing = {side: len(parts[0].failing[side] | parts[1].failing[side]) for side in Side}
    raw = {name.encode(): str(count).encode() for name, count in hash_.items()}
    whole = tallied(noted).drain()
    expected = Evidence.read(whole.counts, {s: len(f) for s, f in whole.failing.items()})
    assert Evidence.read(raw, failing) == expected


@settings(deadline=None)
@given(NOTED)
def test_every_request_is_counted_once_in_its_place(
    noted: list[tuple[Side, int, float | None, str]],
) -> None:
    evidence = Evidence.read(tallied(noted).drain().counts, {})
    for side, arm in (
        (Side.CANDIDATE, evidence.candidate),
        (Side.CONTROL, evidence.control),
    ):
        mine = [each for each in noted if each[0] is side]
        for group in range(GROUPS):
            there = [each for each in mine if each[1] == group]
            answered = [each for each in there if each[2] is not None]
            assert arm.requests[group] == len(there)
            assert arm.failed[group] == len(there) - len(answered)
            assert sum(groups[group] for groups in arm.latency.values()) == len(answered)
            labels = Counter(each[3] for each in answered)
            assert {k: v[group] for k, v in arm.labels.items() if v[group]} == labels


def test_draining_begins_anew() -> None:
    tally = tallied([(Side.CANDIDATE, 3, 0.1, "yes"), (Side.CONTROL, 4, None, "subject")])
    assert tally.drain().failing == {Side.CANDIDATE: frozenset(), Side.CONTROL: {"subject"}}
    again = tally.drain()
    assert again.counts == {}
    assert not any(again.failing.values())


def test_feedback_and_comparisons() -> None:
    tally = Tally()
    for score in (0.0, 0.25, 1.0):
        tally.scored(Side.CONTROL, 7, score)
    tally.compared(9, agreed=True)
    tally.compared(9, agreed=False)
    evidence = Evidence.read(tally.drain().counts, {})
    assert (evidence.control.scored[7], evidence.control.score[7]) == (3, 1_250_000)
    assert (evidence.candidate.compared[9], evidence.candidate.agreed[9]) == (2, 1)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_score_out_of_range_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Tally().scored(Side.CANDIDATE, 0, score)


def test_a_process_keeps_so_many_labels_and_subjects_and_no_more() -> None:
    tally = Tally()
    for number in range(LABELS + 10):
        tally.answered(Side.CANDIDATE, 0, 0.1, f"label-{number}")
    tally.answered(Side.CANDIDATE, 0, 0.1, "x" * (LABEL_LENGTH + 1))
    for number in range(MAX_SUBJECTS + 10):
        tally.failed(Side.CANDIDATE, 0, str(number))
    drained = tally.drain()
    arm = Evidence.read(drained.counts, {}).candidate
    assert len(arm.labels) == LABELS + 1
    assert arm.labels[OTHER_LABELS][0] == 11
    assert len(drained.failing[Side.CANDIDATE]) == MAX_SUBJECTS


def test_of_too_many_labels_the_most_frequent_of_both_sides_are_kept() -> None:
    counts = {f"control|0|label|l{number:03}": number for number in range(1, 201)}
    counts["candidate|5|label|l001"] = 1000
    evidence = Evidence.read(counts, {})
    kept = {"l001", *(f"l{number:03}" for number in range(152, 201))}
    assert set(evidence.control.labels) == kept | {OTHER_LABELS}
    assert set(evidence.candidate.labels) == {"l001"}
    assert evidence.control.labels[OTHER_LABELS][0] == sum(range(2, 152))


@pytest.mark.parametrize(
    "field",
    ["", "|", "candidate", "candidate|0", "candidate|64|requests", "candidate|-1|requests",
     "candidate|0|latency|218", "candidate|0|latency|", "candidate|0|latency", "rest|0|requests",
     "candidate|0|requests|1", "candidate|²|requests", "candidate|0|wins", "candidate|0x1|failed",
     f"candidate|0|label|{'x' * 65}", "candidate|00000000000000000000|requests"],
)  # fmt: skip
def test_what_is_no_count_of_ours_is_left_out(field: str) -> None:
    assert Evidence.read({field: 3, field.encode(): 3}, {}) == Evidence()


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"1e3", -1, 2**60, b"9" * 5000, "²", b"\xff"])
def test_a_number_out_of_range_is_left_out(value: bytes | str | int) -> None:
    assert Evidence.read({"candidate|0|requests": value}, {}) == Evidence()


@settings(deadline=None)
@given(st.dictionaries(st.one_of(st.text(), st.binary()), st.one_of(st.text(), st.integers())))
def test_reading_never_fails(counts: dict[str | bytes, str | int]) -> None:
    assert isinstance(Evidence.read(counts, {Side.CONTROL: -5}), Evidence)


@settings(deadline=None)
@given(st.floats(1e-9, 1e9))
def test_a_latency_is_within_its_bucket(latency_s: float) -> None:
    bucket = bucket_of(latency_s)
    assert 0 <= bucket < BUCKETS
    if 0 < bucket < BUCKETS - 1:
        assert bucket_end_s(bucket - 1) * (1 - 1e-6) < latency_s <= bucket_end_s(bucket) * 1.000001


def test_the_scale_reaches_a_thousand_seconds_in_steps_of_which_three_are_a_quarter() -> None:
    assert bucket_end_s(BUCKETS - 1) >= 1000
    assert bucket_of(0.0) == bucket_of(1e-4) == 0
    assert bucket_end_s(3) / bucket_end_s(0) == pytest.approx(1.25)
    assert [buckets_of(ratio) for ratio in (1.0, 1.01, 1.25, 1.26, 1.5625)] == [0, 1, 3, 4, 6]
