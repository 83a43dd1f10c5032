"""Means over groups: what they weigh, and how far off they say they may be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from control_plane.routing.judge.clusters import (
    LEAST_EVENTS,
    LEAST_GROUPS,
    LEAST_REQUESTS,
    Mean,
    above,
    enough,
    mean,
    means,
    over,
)
from tests.unit.routing.judge.arms import spread

SOUND = Mean(value=0.1, share=0.1, spread=0.09, number=1000, total=100, groups=40)


def test_the_variance_is_that_of_means_of_groups_of_one_size() -> None:
    totals = [3, 5, 4, 8, 2, 6, 7, 5, 1, 9]
    found = mean(totals, [10] * 10)
    assert found is not None
    shares = np.array(totals) / 10
    assert found.value == pytest.approx(shares.mean())
    assert found.spread / found.number == pytest.approx(shares.var(ddof=1) / 10)
    assert found.groups == pytest.approx(10)


@pytest.mark.parametrize("evened", [False, True])
def test_the_deviation_of_repeated_draws_is_the_one_that_is_estimated(*, evened: bool) -> None:
    random = np.random.default_rng(5)
    values, variances = [], []
    for _ in range(600):
        numbers = np.ceil(random.lognormal(3, 0.7, size=64)).astype(int)
        totals = random.binomial(numbers, random.beta(2, 6, size=64))
        found = mean(totals.tolist(), numbers.tolist(), evened=evened)
        assert found is not None
        values.append(found.value)
        variances.append(found.spread / found.number)
    assert np.mean(values) == pytest.approx(0.25, abs=0.005)
    assert np.std(values) == pytest.approx(math.sqrt(np.mean(variances)), rel=0.1)


def test_evened_a_busy_group_weighs_at_most_about_twice_the_others() -> None:
    totals, numbers = [10_000] + [0] * 63, [10_000] + [100] * 63
    plain, evened = mean(totals, numbers), mean(totals, numbers, evened=True)
    assert plain is not None
    assert evened is not None
    assert plain.share == evened.share == plain.value > 0.6
    assert evened.value < 0.1
    assert plain.groups < 3 < 40 < evened.groups


def test_requests_that_all_end_the_same_are_not_taken_for_certain() -> None:
    found = mean(spread(100), spread(100))
    assert found is not None
    assert found.value == 1
    assert found.spread / found.number > 0.01**2


def test_less_than_two_groups_have_no_mean() -> None:
    assert mean([0] * 64, [0] * 64) is None
    assert mean([1] + [0] * 63, [5] + [0] * 63) is None


@pytest.mark.parametrize(
    ("groups", "number", "total", "is_enough"),
    [(LEAST_GROUPS, LEAST_REQUESTS, LEAST_EVENTS, True),
     (LEAST_GROUPS - 0.1, LEAST_REQUESTS, LEAST_EVENTS, False),
     (LEAST_GROUPS, LEAST_REQUESTS - 1, LEAST_EVENTS, False),
     (LEAST_GROUPS, LEAST_REQUESTS, LEAST_EVENTS - 1, False)],
)  # fmt: skip
def test_too_little_is_not_tested(
    groups: float, number: int, total: int, *, is_enough: bool
) -> None:
    small = Mean(value=0.1, share=0.1, spread=0.09, number=number, total=total, groups=groups)
    none = Mean(value=0.0, share=0.0, spread=0.01, number=1000, total=0, groups=40)
    assert enough(small, none) is is_enough
    assert enough(none, small) is is_enough


def test_both_sides_are_needed() -> None:
    side = (spread(50), spread(500))
    assert means(side, side, evened=False) is not None
    assert means(side, ([0] * 64, [0] * 64), evened=False) is None


def test_a_small_control_that_saw_no_rare_event_is_as_uncertain_as_the_candidate_says() -> None:
    """By its own counts its variance would be that of independent requests, far too little."""
    burst = Mean(value=0.02, share=0.02, spread=2.0, number=8000, total=160, groups=50)
    lucky = Mean(value=0.0, share=0.0, spread=0.001, number=2000, total=0, groups=50)
    together = (2.0 * 8000 + 0.001 * 2000) / 10_000 * (1 / 8000 + 1 / 2000)
    assert above(burst, lucky).variance == pytest.approx(together)
    assert above(burst, lucky).variance > 3 * (2.0 / 8000 + 0.001 / 2000)


def test_a_difference_has_both_variances_and_nearly_both_degrees_of_freedom() -> None:
    estimate = above(SOUND, SOUND, tolerance=0.02)
    assert estimate.value == pytest.approx(-0.02)
    assert estimate.variance == pytest.approx(2 * 0.09 / 1000)
    assert estimate.freedom == pytest.approx(2 * 39)
    assert above(SOUND, SOUND, factor=2.0).value == pytest.approx(-0.1)
    assert above(SOUND, SOUND, factor=2.0).variance == pytest.approx(5 * 0.09 / 1000)


def test_a_limit_has_no_variance() -> None:
    estimate = over(SOUND, 0.05)
    assert (estimate.value, estimate.freedom) == (pytest.approx(0.05), 39)
    assert estimate.variance == pytest.approx(0.09 / 1000)
