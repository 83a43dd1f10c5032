"""Means of counts of which those within a group of subjects hang together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from control_plane.routing.judge.sequential import Estimate

LEAST_GROUPS: Final = 10
"""Effective groups on each side below which a variance over groups is not trusted."""
LEAST_REQUESTS: Final = 100
"""Requests on each side below which a mean is not taken to be normal."""
LEAST_EVENTS: Final = 10
"""Events on both sides together, likewise."""

Counts = tuple[Sequence[float], Sequence[int]]
"""Sums of values of 0 to 1 and numbers of requests, in each group."""


class Mean(Struct, frozen=True):
    """The mean of one side.

    Attributes:
        value: The mean that is tested.
        share: Sum over number, as it is told: ``value`` unless groups are evened.
        spread: Variance of the mean times the number: how much a request adds, with its group.
        number: Requests.
        total: Sum over them.
        groups: Effective number of groups, Kish's (sum w)^2 / sum w^2: less than the number of
            groups if a few have most of the weight.
    """

    value: float
    share: float
    spread: float
    number: int
    total: float
    groups: float


def mean(totals: Sequence[float], numbers: Sequence[int], *, evened: bool = False) -> Mean | None:
    """The mean over all requests and how far it may be off, by the differences between groups.

    The variance is cluster-robust (Liang & Zeger 1986, with G / (G - 1) for G groups), and at least
    that of independent requests with two of either kind added (Agresti & Coull 1998): a side all of
    whose requests end the same is not taken for certain.

    Args:
        totals: Sum in each group, of values of 0 to 1.
        numbers: Requests in each group.
        evened: True if a request weighs the less, the busier its group: 1 / (n + mean n), so that
            a few busy subjects do not decide. Whether that leaves the mean where it was depends on
            how many subjects a group has: it is fair only between sides of the same size.

    Returns:
        None if fewer than two groups have requests.
    """
    number, total = sum(numbers), sum(totals)
    seen = [pair for pair in zip(totals, numbers, strict=True) if pair[1]]
    if len(seen) < 2:
        return None
    usual = number / len(seen)
    # Lists and not generators: the judge spends most of its time here.
    xs = [x / (n + usual) for x, n in seen] if evened else [x for x, _ in seen]
    ns = [n / (n + usual) for _, n in seen] if evened else [n for _, n in seen]
    whole, squared = sum(ns), [n * n for n in ns]
    value = sum(xs) / whole
    apart = sum([(x - value * n) ** 2 for x, n in zip(xs, ns, strict=True)])
    floor = (total + 2) / (number + 4)
    alone = floor * (1 - floor) * sum([w / n for w, (_, n) in zip(squared, seen, strict=True)])
    return Mean(
        value=value,
        share=total / number,
        spread=number * max(len(seen) / (len(seen) - 1) * apart, alone) / whole**2,
        number=number,
        total=total,
        groups=whole**2 / sum(squared),
    )


def enough(*sides: Mean) -> bool:
    """Whether these means are close enough to normal to be tested."""
    return (
        all(side.groups >= LEAST_GROUPS and side.number >= LEAST_REQUESTS for side in sides)
        and sum(side.total for side in sides) >= LEAST_EVENTS
    )


def means(candidate: Counts, control: Counts, *, evened: bool) -> tuple[Mean, Mean] | None:
    """The means of both sides; None if there is too little to test."""
    ours, theirs = (mean(*side, evened=evened) for side in (candidate, control))
    if ours is None or theirs is None or not enough(ours, theirs):
        return None
    return ours, theirs


def above(
    candidate: Mean, control: Mean, *, factor: float = 1.0, tolerance: float = 0.0
) -> Estimate:
    """How far the candidate's mean is above ``factor`` x the control's + ``tolerance``.

    Where the sides differ in size, the smaller one's spread is poorly known, and by chance it may
    have seen none of the rare events: so the variance is at least what the spread of both together
    makes it. Degrees of freedom are Welch's, of effective groups (Carter, Schnepel & Steigerwald,
    "Asymptotic behavior of a t-test robust to cluster heterogeneity", 2017).
    """
    ours = candidate.spread / candidate.number
    theirs = factor**2 * control.spread / control.number
    both = candidate.number + control.number
    pooled = (candidate.spread * candidate.number + control.spread * control.number) / both
    together = pooled * (1 / candidate.number + factor**2 / control.number)
    uncertain = ours**2 / (candidate.groups - 1) + theirs**2 / (control.groups - 1)
    return Estimate(
        value=candidate.value - factor * control.value - tolerance,
        variance=max(ours + theirs, together),
        freedom=(ours + theirs) ** 2 / uncertain,
    )


def over(candidate: Mean, limit: float) -> Estimate:
    """How far a mean is above what it may be at most."""
    return Estimate(
        value=candidate.value - limit,
        variance=candidate.spread / candidate.number,
        freedom=candidate.groups - 1,
    )
