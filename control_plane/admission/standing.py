"""Where a subject stands: what is left of rate and quota, and the headers that say so."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct

from control_plane.admission.records import Limits

SOFT_PART: Final = 4
"""A soft block leaves a quarter of every limit; ``limits.lua`` says the same."""


class Standing(Struct, frozen=True):
    """What the accounts said of a subject.

    Attributes:
        limits: The limits that were applied.
        now_us: The server's clock, epoch microseconds.
        wait_us: Microseconds until the rate is whole again.
        held: Requests granted ahead and not used yet.
        day_used: Units of this day.
        month_used: Units of this month.
        soft: True while a soft block stands.
    """

    limits: Limits
    now_us: int
    wait_us: int
    held: int
    day_used: int
    month_used: int
    soft: bool = False

    @property
    def burst(self) -> int:
        """Requests that may come at once, at best."""
        return max(1, self.limits.burst // SOFT_PART) if self.soft else self.limits.burst

    @property
    def remaining(self) -> int:
        """Requests that would be admitted now."""
        step = interval_us(self.limits) * (SOFT_PART if self.soft else 1)
        return max(0, math.floor(self.burst - self.wait_us / step - self.held))

    def quota(self) -> tuple[int, int, int] | None:
        """Limit, rest and reset (epoch second) of the quota that ends first; None without one."""
        month, day = self.limits.month_units, self.limits.day_units
        second = self.now_us // 1_000_000
        found = None
        if month is not None:
            found = (month, max(0, month - self.month_used), month_end(second))
        if day is not None and (found is None or day - self.day_used < found[1]):
            found = (day, max(0, day - self.day_used), day_end(second))
        return found


def interval_us(limits: Limits) -> float:
    """Time between two requests at the sustained rate, microseconds."""
    return limits.window_s * 1e6 / limits.requests


@lru_cache(maxsize=64)
def _month_end(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp())


def month_end(second: int) -> int:
    """Epoch second at which the calendar month (UTC) of a second ends."""
    moment = datetime.fromtimestamp(second, UTC)
    return _month_end(moment.year, moment.month)


def day_end(second: int) -> int:
    """Epoch second at which the day (UTC) of a second ends."""
    return second - second % 86_400 + 86_400


def rate_headers(
    standing: Standing, spare: int = 0, retry_s: int | None = None
) -> list[tuple[bytes, bytes]]:
    """The headers of a standing: the X-RateLimit trio, the IETF draft's pair, the quota.

    Args:
        standing: What the accounts said.
        spare: Requests of ``held`` that this process may still use for the caller.
        retry_s: Seconds to wait, of a refusal; None otherwise.
    """
    burst, limits = standing.burst, standing.limits
    wait_us, now_us = standing.wait_us, standing.now_us
    if retry_s is None:
        remaining, seconds = standing.remaining + spare, -(-wait_us // 1_000_000)
        reset = -(-(now_us + wait_us) // 1_000_000)
    else:
        remaining, seconds = 0, retry_s
        reset = -(-now_us // 1_000_000) + retry_s
    headers = [
        (b"x-ratelimit-limit", b"%d" % burst),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % reset),
        (b"ratelimit-policy", _policy(burst, limits.requests, limits.window_s)),
        (b"ratelimit", b'"burst";r=%d;t=%d' % (remaining, seconds)),
    ]
    quota = standing.quota()
    if quota is not None:
        headers += [
            (b"x-quota-limit", b"%d" % quota[0]),
            (b"x-quota-remaining", b"%d" % quota[1]),
            (b"x-quota-reset", b"%d" % quota[2]),
        ]
    return headers


@lru_cache(maxsize=4096)
def _policy(burst: int, requests: int, window_s: int) -> bytes:
    return b'"burst";q=%d;w=%d' % (burst, max(1, -(-burst * window_s // requests)))
