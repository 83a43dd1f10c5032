"""Wilson's interval, against published figures and by counting how often it holds the truth."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.routing.shares import share


@pytest.mark.parametrize(
    ("total", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(total: int, n: int, low: float, high: float) -> None:
    found = share(total, n)
    assert found is not None
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert found.value == total / n


@given(st.integers(1, 10**9), st.floats(-1, 2))
def test_the_interval_holds_the_share_and_stays_within_0_to_1(n: int, part: float) -> None:
    found = share(part * n, n)
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_nothing_observed_says_nothing() -> None:
    assert share(0, 0) is None


def test_the_interval_holds_the_truth_in_about_95_of_100() -> None:
    random.seed(5)
    held = 0
    for _ in range(1000):
        found = share(sum(random.random() < 0.9 for _ in range(200)), 200)
        assert found is not None
        held += found.low <= 0.9 <= found.high
    assert 920 <= held <= 980


def test_the_interval_of_scores_in_between_holds_the_truth_at_least_as_often() -> None:
    random.seed(6)
    held = 0
    for _ in range(500):
        found = share(sum(random.betavariate(2, 1) for _ in range(100)), 100)
        assert found is not None
        held += found.low <= 2 / 3 <= found.high
    assert held >= 475
