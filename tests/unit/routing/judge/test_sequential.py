"""Tests that may be looked at at any time: exactly where that can be computed, else by drawing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.routing.judge import sequential
from control_plane.routing.judge.sequential import (
    Estimate,
    excess,
    excess_interval,
    flips,
    flips_interval,
)

ALPHA = 0.01


def ever(crossed: Callable[[int, int], bool], chance: float, flips_: int) -> float:
    """The exact probability that a rule of (candidate's, control's) is ever met.

    Args:
        crossed: The rule.
        chance: With which a subject is the candidate's.
        flips_: After so many subjects it is over.
    """
    alive = {0: 1.0}
    met = 0.0
    for number in range(1, flips_ + 1):
        after: dict[int, float] = {}
        for candidate, mass in alive.items():
            for more, part in ((1, chance), (0, 1 - chance)):
                after[candidate + more] = after.get(candidate + more, 0.0) + mass * part
        met += sum(after.pop(k) for k in list(after) if crossed(k, number - k))
        alive = after
    return met


@pytest.mark.parametrize("chance", [0.05, 0.5, 0.8])
def test_flips_looked_at_after_every_subject_rarely_raise_a_false_alarm(chance: float) -> None:
    probability = ever(lambda k, m: flips(k, m, chance) >= -math.log(ALPHA), chance, 400)
    assert 0.001 < probability <= ALPHA
    better = ever(lambda k, m: flips(k, m, chance) >= -math.log(ALPHA), chance * 0.9, 400)
    assert better < probability


def test_a_test_of_one_look_would_not_stand_that() -> None:
    """The same computation finds the fault in looking again and again at p < 0.01."""

    def significant(candidate: int, control: int) -> bool:
        return candidate - control >= 2.326 * math.sqrt(candidate + control)

    assert ever(significant, 0.5, 400) > 5 * ALPHA


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.integers(0, 60))
def test_flips_expect_one_if_both_are_alike_and_less_if_the_candidate_is_better(
    chance: float, number: int
) -> None:
    def expected(share: float) -> float:
        return sum(
            math.comb(number, k)
            * share**k
            * (1 - share) ** (number - k)
            * math.exp(flips(k, number - k, chance))
            for k in range(number + 1)
        )

    assert expected(chance) == pytest.approx(1.0, rel=1e-6)
    assert expected(chance * 0.7) <= 1 + 1e-9


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.001, 0.999))
def test_flips_are_finite_and_one_more_of_the_candidates_is_more_evidence(
    candidate: int, control: int, chance: float
) -> None:
    here = flips(candidate, control, chance)
    assert math.isfinite(here)
    assert flips(candidate + 1, control, chance) > here
    assert flips(candidate, control + 1, chance) < here


@pytest.mark.parametrize(("odds", "ratio"), [(1.0, 1.0), (1.0, 4.0), (0.25, 2.0)])
def test_the_interval_of_a_ratio_holds_at_all_times_at_once(odds: float, ratio: float) -> None:
    chance = odds * ratio / (1 + odds * ratio)

    def outside(candidate: int, control: int) -> bool:
        low, high = flips_interval(candidate, control, odds, 0.05)
        return not low <= ratio <= high

    assert ever(outside, chance, 150) <= 0.05


def test_the_interval_of_a_ratio_closes_in() -> None:
    assert flips_interval(0, 0, 1.0, 0.05) == (0.0, math.inf)
    assert flips_interval(3, 0, 1.0, 0.05)[1] == math.inf
    low, high = flips_interval(40_000, 10_000, 1.0, 0.05)
    assert 3.8 < low < 4 < high < 4.2


def paths(runs: int, looks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Running means of normal values, and how many there were, at looks ever farther apart."""
    numbers = np.unique(np.geomspace(10, 20_000, looks).astype(int))
    values = np.random.default_rng(seed).normal(size=(runs, numbers[-1])).astype(np.float32)
    return np.cumsum(values, axis=1)[:, numbers - 1] / numbers, numbers


def test_a_mean_looked_at_again_and_again_rarely_raises_a_false_alarm() -> None:
    """600 runs of 150 looks; the mean of one look at p < 0.01 does so in a tenth and more."""
    means, numbers = paths(600, 150, 11)
    alarms = naive = 0
    for run in means:
        quotients = run * np.sqrt(numbers)
        naive += bool((quotients > 2.326).any())
        alarms += any(
            excess(Estimate(float(value), 1 / number, 1e6), 0.1) >= -math.log(0.05)
            for value, number in zip(run, numbers, strict=True)
        )
    assert 0 < alarms / 600 <= 0.05
    assert naive / 600 > 0.05


def test_the_interval_of_a_mean_holds_at_all_times_at_once() -> None:
    means, numbers = paths(300, 60, 12)
    wrong = 0
    for run in means:
        intervals = [
            excess_interval(Estimate(float(value), 1 / number, 1e6), 0.1, 0.1)
            for value, number in zip(run, numbers, strict=True)
        ]
        wrong += any(not low <= 0 <= high for low, high in intervals)
    assert wrong / 300 <= 0.1


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(1e-6, 1), st.floats(9, 200), st.floats(0.01, 1))
def test_excess_is_the_mixture_that_it_says(
    value: float, variance: float, freedom: float, scale: float
) -> None:
    """Against a numerical integral over half-normal alternatives, at many degrees of freedom."""
    large = Estimate(value, variance, 1e13)
    width = 1 / math.sqrt(1 / variance + 1 / scale**2)
    mode = max(0.0, value * width**2 / variance)
    steps = np.linspace(max(0.0, mode - 12 * width), mode + 12 * width, 40_001)
    ratio = steps * value / variance - steps**2 / (2 * variance) - steps**2 / (2 * scale**2)
    top = float(ratio.max())
    density = 2 / math.sqrt(2 * math.pi) / scale
    integral = math.log(float(np.trapz(np.exp(ratio - top), steps)) * density) + top
    if integral > -20:
        assert excess(large, scale) == pytest.approx(integral, rel=1e-4, abs=0.02)
    assert excess(Estimate(value, variance, freedom), scale) <= max(excess(large, scale), 0.0)


@pytest.mark.parametrize(
    ("freedom", "t", "tail"),
    [(9, 4.2968, 1e-3), (9, 6.0101, 1e-4), (30, 3.3852, 1e-3), (60, 3.9621, 1e-4)],
)
def test_students_t_is_taken_for_as_improbable_as_it_is(
    freedom: float, t: float, tail: float
) -> None:
    """Quantiles of Student's t from a table."""
    z = sequential._normal(t, freedom)
    assert 0.5 * math.erfc(z / math.sqrt(2)) == pytest.approx(tail, rel=0.05)
    assert sequential._student(z, freedom) == pytest.approx(t)


def test_few_degrees_of_freedom_make_wide_intervals() -> None:
    few = excess_interval(Estimate(0.1, 0.001, 9), 0.1, 0.05)
    many = excess_interval(Estimate(0.1, 0.001, 900), 0.1, 0.05)
    assert few[0] < many[0] < 0.1 < many[1] < few[1]
    assert all(map(math.isfinite, excess_interval(Estimate(0.0, 0.1, 1.0), 0.001, 1e-6)))
