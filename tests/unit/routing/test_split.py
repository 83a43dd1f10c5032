"""What the split promises: shares as weights say, and nobody moved without need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import InvalidInput
from control_plane.routing.split import (
    GROUPS,
    Split,
    allocate,
    bucket_count,
    bucket_of,
    digest,
    group_of,
    taken_again,
)
from control_plane.routing.state import BUCKETS, Range

SUBJECTS = 100_000
POINTS = 0.3
MEMBER = "ro_0123456789abcdef"
NAMES = ("v2.0.0", "v3.0.0", "v4.0.0")


def members(ranges: Iterable[Range]) -> set[int]:
    listed = [bucket for first, end in ranges for bucket in range(first, end)]
    assert len(listed) == len(set(listed))
    assert all(0 <= bucket < BUCKETS for bucket in listed)
    return set(listed)


def owned(split: Split) -> dict[str, set[int]]:
    return {version: members(ranges) for version, ranges in split.buckets.items()}


def places(split: Split) -> dict[int, str]:
    """Who has which bucket; what is not here is the rest's."""
    found: dict[int, str] = {}
    for owner, buckets in {**owned(split), "control": members(split.control)}.items():
        assert not found.keys() & buckets
        found.update(dict.fromkeys(buckets, owner))
    return found


def grown(*steps: Mapping[str, float]) -> list[Split]:
    splits = [Split()]
    for weights in steps:
        splits.append(allocate(splits[-1], weights))
    return splits[1:]


@pytest.fixture(scope="module")
def buckets() -> list[int]:
    """The bucket of each of 100,000 subjects."""
    return [bucket_of(digest(MEMBER, f"tenant-{number}")) for number in range(SUBJECTS)]


@pytest.mark.parametrize("weight", [0.1, 1, 5, 10, 33.3, 50, 99.9])
def test_the_share_of_subjects_is_the_weight(buckets: list[int], weight: float) -> None:
    split = allocate(Split(), {"v2.0.0": weight})
    own, control = owned(split)["v2.0.0"], members(split.control)
    share = 100 * sum(bucket in own for bucket in buckets) / SUBJECTS
    compared = 100 * sum(bucket in control for bucket in buckets) / SUBJECTS
    assert abs(share - weight) <= POINTS
    assert abs(compared - min(weight, 100 - weight)) <= POINTS


def test_no_subject_moves_when_nothing_changed(buckets: list[int]) -> None:
    again = [bucket_of(digest(MEMBER, f"tenant-{number}")) for number in range(SUBJECTS)]
    assert again == buckets
    first, second = grown({"v2.0.0": 10}, {"v2.0.0": 10})
    assert first == second


def test_growing_sends_nobody_back(buckets: list[int]) -> None:
    splits = grown({"v2.0.0": 1}, {"v2.0.0": 10}, {"v2.0.0": 50})
    candidates = [owned(split)["v2.0.0"] for split in splits]
    sides = [[bucket in own for bucket in buckets] for own in candidates]
    for before, after in pairwise(sides):
        assert sum(before) < sum(after)
        assert not any(was and not now for was, now in zip(before, after, strict=True))


def test_the_control_is_as_large_as_the_candidate_where_there_is_room() -> None:
    splits = grown(*({"v2.0.0": weight} for weight in (0, 1, 10, 50, 60, 100)))
    assert [len(members(split.control)) for split in splits] == [0, 10, 100, 500, 400, 0]


def test_the_control_of_several_is_as_large_as_the_largest() -> None:
    (split,) = grown({"v2.0.0": 5, "v3.0.0": 20, "v4.0.0": 0})
    assert len(members(split.control)) == 200
    assert "v4.0.0" not in split.buckets


def test_a_control_that_grows_keeps_its_subjects() -> None:
    controls = [members(s.control) for s in grown(*({"v2.0.0": w} for w in (1, 10, 50)))]
    assert controls[0] < controls[1] < controls[2]


def test_what_was_taken_last_is_given_back_first() -> None:
    first, _, last = grown({"v2.0.0": 10}, {"v2.0.0": 40}, {"v2.0.0": 10})
    assert first == last


def test_a_lone_candidate_s_split_is_two_ranges() -> None:
    for split in grown(*({"v2.0.0": weight} for weight in (0.1, 7, 50, 90, 20))):
        assert len(split.buckets["v2.0.0"]) == len(split.control) == 1


weights = st.lists(st.integers(0, BUCKETS), min_size=3, max_size=3).map(
    lambda drawn: {name: count / 10 for name, count in zip(NAMES, _fitting(drawn), strict=True)}
)


def _fitting(counts: list[int]) -> list[int]:
    total = sum(counts)
    return counts if total <= BUCKETS else [count * BUCKETS // total for count in counts]


@given(st.lists(weights, min_size=1, max_size=6))
def test_any_weights_split_disjointly_and_move_as_few_as_can_be(
    steps: list[dict[str, float]],
) -> None:
    before = Split()
    for wanted in steps:
        after = allocate(before, wanted)
        was, now = places(before), places(after)
        sizes = Counter(now.values())
        largest, free = max(map(bucket_count, wanted.values())), BUCKETS
        for name, weight in wanted.items():
            assert sizes[name] == bucket_count(weight)
            own_before, own_after = owned(before).get(name, set()), owned(after).get(name, set())
            assert own_before <= own_after or own_after <= own_before
            free -= sizes[name]
        assert sizes["control"] == min(largest, free)
        _takes_from_the_stable_version_first(was, now)
        assert allocate(after, wanted) == after
        before = after


def _takes_from_the_stable_version_first(was: dict[int, str], now: dict[int, str]) -> None:
    """No candidate takes another's bucket while the stable version had one, nor the control's."""
    taken = {b: was.get(b, "rest") for b, owner in now.items()
             if owner in NAMES and was.get(b) != owner}  # fmt: skip
    left = {was.get(bucket, "rest") for bucket in range(BUCKETS) if now.get(bucket) not in NAMES}
    if set(taken.values()) & set(NAMES):
        assert not left & {"rest", "control"}
    if "control" in taken.values():
        assert "rest" not in left


@given(weights, weights)
def test_a_control_loses_buckets_only_to_candidates_or_by_shrinking(
    first: dict[str, float], second: dict[str, float]
) -> None:
    before, after = grown(first, second)
    was, now = members(before.control), members(after.control)
    taken = {bucket for own in owned(after).values() for bucket in own}
    assert now <= was - taken or was - taken <= now


@given(weights, st.sampled_from(NAMES))
def test_a_candidate_takes_again_what_no_other_has(wanted: dict[str, float], name: str) -> None:
    before = allocate(Split(), wanted)
    held = before.buckets.get(name, ())
    without = Split({v: r for v, r in before.buckets.items() if v != name}, before.control)
    assert owned(taken_again(without, name, held)).get(name, set()) == members(held)


def test_what_others_have_taken_since_stays_theirs() -> None:
    before, alone = grown({"v2.0.0": 10, "v3.0.0": 10}, {"v3.0.0": 95})
    again = taken_again(alone, "v2.0.0", before.buckets["v2.0.0"])
    assert owned(again)["v3.0.0"] == owned(alone)["v3.0.0"]
    assert owned(again)["v2.0.0"] == members(before.buckets["v2.0.0"]) - owned(alone)["v3.0.0"]
    assert places(again)


@pytest.mark.parametrize(
    ("percent", "count"),
    [
        (0, 0),
        (0.1, 1),
        (0.3, 3),
        (0.1 + 0.2, 3),
        (33.3, 333),
        (57.3, 573),
        (99.9, 999),
        (100, 1000),
    ],
)
def test_weights_are_counted_exactly(percent: float, count: int) -> None:
    assert bucket_count(percent) == count


@pytest.mark.parametrize("percent", [-0.1, 100.1, 0.05, 33.33, 1e-5, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(percent: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        allocate(Split(), {"v2.0.0": percent, "v3.0.0": 1})
    assert [fault.path for fault in caught.value.faults] == ["/weights/v2.0.0"]


def test_weights_of_more_than_everything_are_refused() -> None:
    assert places(allocate(Split(), {"v2.0.0": 99.9, "v3.0.0": 0.1}))
    with pytest.raises(InvalidInput) as caught:
        allocate(Split(), {"v2.0.0": 99.9, "v3.0.0": 0.2})
    assert [fault.path for fault in caught.value.faults] == ["/weights"]


def test_groups_do_not_depend_on_buckets() -> None:
    """Of 64 groups of the subjects of a tenth of the buckets, each has its share."""
    numbers = [digest(MEMBER, f"tenant-{number}") for number in range(SUBJECTS)]
    groups = Counter(group_of(number) for number in numbers if bucket_of(number) < BUCKETS // 10)
    expected = sum(groups.values()) / GROUPS
    chi_squared = sum((groups[group] - expected) ** 2 / expected for group in range(GROUPS))
    assert set(groups) == set(range(GROUPS))
    assert chi_squared < 110  # of 63 degrees of freedom: one in 5,000 by chance


def test_rollouts_split_independently() -> None:
    other = "ro_1123456789abcdef"
    both = sum(
        bucket_of(digest(MEMBER, name)) < 100 and bucket_of(digest(other, name)) < 100
        for name in (f"tenant-{number}" for number in range(SUBJECTS))
    )
    assert 800 < both < 1200


@given(st.text(), st.integers(0, 2**64 - 1))
def test_every_subject_has_a_place(subject: str, number: int) -> None:
    assert 0 <= digest(MEMBER, subject) < 2**64
    assert 0 <= bucket_of(number) < BUCKETS
    assert 0 <= group_of(number) < GROUPS


def test_a_place_is_the_same_in_every_process() -> None:
    assert digest(MEMBER, "acme") == 8582881183164428324
    assert digest(MEMBER, "\ud800" + "x" * 1_000_000) != digest(MEMBER, "\ud800")
