"""Ids of rollouts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.routing.identifiers import ENDED_ROLLOUT, part_of, rollout_id


@given(st.integers(0, 4_000_000_000), st.floats(0.016, 1_000_000))
def test_ids_sort_by_time(seconds: int, later: float) -> None:
    first, second = rollout_id(seconds), rollout_id(seconds + later)
    assert first[:11] < second[:11]
    assert all(ENDED_ROLLOUT.fullmatch(made) for made in (first, second))


def test_ids_of_one_moment_differ() -> None:
    made = {rollout_id(1_700_000_000.0) for _ in range(1000)}
    assert len(made) == 1000
    assert len({each[:11] for each in made}) == 1


def test_a_part_has_an_id_beside_its_rollout() -> None:
    made = rollout_id(1_700_000_000.0)
    assert ENDED_ROLLOUT.fullmatch(part_of(made, "v2.3.1"))
    assert part_of(made, "v2.3.1").startswith(made)


@pytest.mark.parametrize(
    "text", ["", "ro_", "ro_0123456789abcde", "ro_0123456789abcdeW", "RO_0123456789abcdef",
             "ro_0123456789abcdef.v1", "ro_0123456789abcdef\n", "ro_0123456789abcdef.v01.0.0"]
)  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    assert ENDED_ROLLOUT.fullmatch(text) is None
