"""A share of a number of observations, with the interval that it may lie in."""

from __future__ import annotations

import math
from typing import Annotated, Final

from msgspec import Meta, Struct

Z: Final = 1.959963984540054
"""Of the normal distribution: 95 % lie within so many standard deviations."""

_Unit = Annotated[float, Meta(ge=0, le=1)]


class Share(Struct, frozen=True, kw_only=True):
    """A mean of values of 0 to 1 with Wilson's 95 % interval (Wilson, JASA 1927).

    The interval is for one look at independent observations. It is no test: what a rollout is
    judged by holds at every look and with subjects as the unit, and stands in the verdict.
    """

    value: Annotated[float, Meta(ge=0, le=1, description="The share that was observed")]
    low: Annotated[_Unit, Meta(description="Lower bound of the 95 % interval")]
    high: Annotated[_Unit, Meta(description="Upper bound of the 95 % interval")]
    n: Annotated[int, Meta(ge=1, description="Observations")]


def share(total: float, n: int) -> Share | None:
    """The share with its interval.

    Args:
        total: Sum of the values, each 0 to 1; one beyond 0 to ``n`` is taken as the nearer end.
            For values in between the interval is wider than it had to be: none of that mean varies
            more than those that are 0 or 1.
        n: Number of values.

    Returns:
        None if there are none.
    """
    if n <= 0:
        return None
    value = min(max(total / n, 0.0), 1.0)
    weight = Z * Z / n
    centre = (value + weight / 2) / (1 + weight)
    half = Z / (1 + weight) * math.sqrt(value * (1 - value) / n + weight / (4 * n))
    # Where all are equal, rounding would leave the share itself outside by one unit.
    low, high = max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value))
    return Share(value=value, low=low, high=high, n=n)
