"""Parts of calls, ids of jobs, and scripts as they are loaded."""

from __future__ import annotations

from hypothesis import given, strategies

from control_plane.jobs.identifiers import is_job_id, job_id, since
from control_plane.jobs.scripts import MOST, MOST_BYTES, NAMES, parts, source

FOLLOWS = strategies.lists(strategies.integers(0, 2 * MOST_BYTES), max_size=3 * MOST)


@given(FOLLOWS)
def test_parts_keep_the_order_and_the_bounds(weights: list[int]) -> None:
    found = list(parts(weights, lambda weight: weight))
    assert [weight for part in found for weight in part] == weights
    assert all(part for part in found)
    assert all(len(part) <= MOST for part in found)
    assert all(len(part) == 1 or sum(part) <= MOST_BYTES for part in found)


def test_as_much_as_fits_goes_together() -> None:
    assert [len(part) for part in parts(range(2 * MOST + 1))] == [MOST, MOST, 1]


@given(strategies.floats(0, 200_000_000_000), strategies.floats(0, 200_000_000_000))
def test_ids_sort_by_time(one: float, other: float) -> None:
    first, second = sorted([int(one * 1000), int(other * 1000)])
    early, late = job_id(first / 1000), job_id(second / 1000)
    assert is_job_id(early)
    assert since(int(first / 1000 * 1000)) <= early
    assert early < since(int(first / 1000 * 1000) + 1)
    assert early[:16] <= late[:16]


def test_ids_are_of_version_7() -> None:
    made = job_id(1_700_000_000.123)
    assert int(made[4:16], 16) == 1_700_000_000_123
    assert made[16] == "7"
    assert made[20] in "89ab"
    assert len({job_id(1.0) for _ in range(1000)}) == 1000


def test_times_out_of_range_count_as_the_nearest() -> None:
    assert since(-1) == since(0) == "job_000000000000"
    assert since(2**60) == "job_ffffffffffff"


def test_what_is_no_id() -> None:
    for text in ("", "job_", "job_" + "0" * 31, "job_" + "0" * 33, "job_" + "G" * 32,
                 "job_" + "0" * 32 + "\n", " job_" + "0" * 32):  # fmt: skip
        assert not is_job_id(text)


def test_scripts_say_first_what_they_may_do() -> None:
    assert {name for name in NAMES if "allow-oom" not in source(name).partition("\n")[0]} == {
        "submit"
    }
    assert all(source(name).startswith("#!lua") for name in NAMES)
