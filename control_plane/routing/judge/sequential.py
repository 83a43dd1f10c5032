"""Tests whose verdict stays valid however often one looks.

An e-process is a number that is 1 at the start and whose expectation never exceeds 1 as long as
the hypothesis holds, whenever one stops. By Ville's inequality (1939) it ever reaches ``1 / a``
with a probability of at most ``a``: so it may be looked at every few seconds, and the first time
that it does is a verdict. All e-values here are natural logarithms.

- ``flips``: counts of subjects as coin flips between two sides (Lindon & Malek, "Anytime-valid
  inference for multinomial count data", NeurIPS 2022), one-sided by a mixture of alternatives
  (Robbins, "Statistical methods related to the law of the iterated logarithm", 1970). Exact.
- ``excess``: a difference of means as a normal mixture (Robbins 1970; Johari, Koomen, Pekelis &
  Walsh, "Always valid inference", Operations Research 2022; one-sided as in Howard, Ramdas,
  McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
  Statistics 2021), for large samples (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform
  central limit theory and asymptotic confidence sequences", Annals of Statistics 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct

RATIOS: Final = (1.1, 1.2, *(2 ** (half / 2) for half in range(1, 13)))
"""The alternatives of ``flips``, in equal parts: 1.1 to 64 times as many as is tolerated."""
_FAR: Final = 10.0
_HALVINGS: Final = 60


class Estimate(Struct, frozen=True):
    """A difference as it is estimated.

    Attributes:
        value: The difference, less what is tolerated.
        variance: Of the estimate, above 0.
        freedom: Degrees of freedom of the variance, at least 1.
    """

    value: float
    variance: float
    freedom: float


def flips(candidate: int, control: int, chance: float) -> float:
    """Evidence that of the subjects counted too many are the candidate's.

    Under the hypothesis each subject that is counted is the candidate's with a probability of at
    most ``chance``, whatever went before. A hash that assigned the subjects makes this so exactly,
    no matter how requests of one subject hang together and how things change with time.

    Args:
        candidate: Subjects counted on the candidate's side, each once.
        control: Those on the control's side.
        chance: Between 0 and 1.

    Returns:
        Logarithm of the e-value.
    """
    terms = [
        candidate * math.log(ratio) - (candidate + control) * math.log1p(chance * (ratio - 1))
        for ratio in RATIOS
    ]
    largest = max(terms)
    total = sum(math.exp(term - largest) for term in terms)
    return largest + math.log(total / len(terms))


def flips_interval(candidate: int, control: int, odds: float, level: float) -> tuple[float, float]:
    """Always-valid confidence interval of how many times as often the candidate's are counted.

    By a Beta(1/2, 1/2) mixture over the share of the candidate (Lindon & Malek 2022).

    Args:
        candidate: Subjects counted on the candidate's side.
        control: Those on the control's side.
        odds: Weight of the candidate over that of the control.
        level: Probability of being wrong at any time, such as 0.05.

    Returns:
        Bounds of the ratio, 0 and infinity included.
    """
    mixed = _log_beta(candidate + 0.5, control + 0.5) - _log_beta(0.5, 0.5)

    def refuted(share: float) -> bool:
        against = _times_log(candidate, share) + _times_log(control, 1 - share)
        return mixed - against >= -math.log(level)

    total = candidate + control
    centre = candidate / total if total else 0.5
    low = _edge(refuted, 0.0, centre)
    high = _edge(refuted, 1.0, centre)
    return low / (1 - low) / odds, (math.inf if high >= 1 else high / (1 - high) / odds)


def excess(estimate: Estimate, scale: float) -> float:
    """Evidence that a difference is above what is tolerated.

    The reciprocal of the variance is the information, as time is in a Brownian motion: estimates at
    two looks vary together as the later one varies alone (Jennison & Turnbull, "Group-sequential
    analysis incorporating covariate information", JASA 1997), which holds for correlated
    observations as well. The variance being estimated, the quotient follows Student's t.

    Args:
        estimate: The difference.
        scale: Size of differences that matter: the standard deviation of the mixture.

    Returns:
        Logarithm of the e-value.
    """
    known = scale**2 / (scale**2 + estimate.variance)
    z = _normal(estimate.value / math.sqrt(estimate.variance), estimate.freedom)
    x = -z * math.sqrt(known / 2)
    # Far below, erfc(x) is no float any more; its product with exp(x * x) is.
    far = x > _FAR
    mixed = -math.log(x * math.sqrt(math.pi)) if far else x * x + math.log(math.erfc(x))
    return 0.5 * math.log1p(-known) + mixed


def excess_interval(estimate: Estimate, scale: float, level: float) -> tuple[float, float]:
    """Always-valid confidence interval of a difference.

    Args:
        estimate: The difference.
        scale: As in ``excess``.
        level: Probability of being wrong at any time, such as 0.05.
    """
    known = scale**2 / (scale**2 + estimate.variance)
    z = math.sqrt((2 * math.log(1 / level) - math.log1p(-known)) / known)
    half = _student(z, estimate.freedom) * math.sqrt(estimate.variance)
    return estimate.value - half, estimate.value + half


def _normal(t: float, freedom: float) -> float:
    """The normal deviate as improbable as one of Student's t (Wallace 1959)."""
    size = math.sqrt(freedom * math.log1p(t * t / freedom)) * _wallace(freedom)
    return math.copysign(size, t)


def _student(z: float, freedom: float) -> float:
    exponent = (z / _wallace(freedom)) ** 2 / freedom
    return math.sqrt(freedom * math.expm1(min(exponent, 700.0)))


def _wallace(freedom: float) -> float:
    return (8 * freedom + 1) / (8 * freedom + 3)


def _edge(refuted: Callable[[float], bool], outer: float, inner: float) -> float:
    if not refuted(outer):
        return outer
    for _ in range(_HALVINGS):
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if refuted(middle) else (outer, middle)
    return inner


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)


def _times_log(times: int, share: float) -> float:
    if not times:
        return 0.0
    return times * math.log(share) if share > 0 else -math.inf
