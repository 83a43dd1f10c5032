"""Where a subject stands: what is left of rate and quota, and the headers that say so."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from control_plane.admission.accounts.shapes import Limits

Headers = list[tuple[bytes, bytes]]
Quota = tuple[int, int, int]

SOFT_PART: Final = 4
"""A soft block leaves a quarter of every limit; ``limits.lua`` says the same."""


class Standing:
    """What the accounts said of a subject; what many requests ask of it is put together once.

    Attributes:
        limits: The limits that were applied.
        now_us: The server's clock, epoch microseconds.
        wait_us: Microseconds until the rate is whole again.
        held: Requests granted ahead and not used yet.
        day_used: Units of this day, those of requests granted ahead included.
        month_used: Units of this month, likewise.
        soft: True while a soft block stands.
        burst: Requests that may come at once, at best.
        remaining: Requests that would be admitted now.
        quota: Limit, rest and reset (epoch second) of the quota that ends first; None without one.
    """

    __slots__ = ("_fixed", "burst", "day_used", "held", "limits", "month_used", "now_us", "quota",
                 "remaining", "soft", "wait_us")  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        now_us: int,
        wait_us: int,
        held: int,
        day_used: int,
        month_used: int,
        *,
        soft: bool = False,
    ) -> None:
        """Take what the script returned."""
        self.limits, self.now_us, self.wait_us, self.held = limits, now_us, wait_us, held
        self.day_used, self.month_used, self.soft = day_used, month_used, soft
        step = interval_us(limits) * (SOFT_PART if soft else 1)
        self.burst = max(1, limits.burst // SOFT_PART) if soft else limits.burst
        self.remaining = max(0, math.floor(self.burst - wait_us / step - held))
        self.quota = _quota(limits, now_us // 1_000_000, day_used, month_used)
        self._fixed: Headers | None = None

    def headers(self, spare: int = 0, spare_units: int = 0) -> Headers:
        """The headers of rate and quota.

        Args:
            spare: Requests of ``held`` that this process may still use for the caller.
            spare_units: Units that they would cost.
        """
        seconds, reset = _seconds(self.wait_us), _seconds(self.now_us + self.wait_us)
        return self._headers(self.remaining + spare, seconds, reset, spare_units)

    def refusal_headers(self, retry_s: int) -> Headers:
        """The same of a refusal: nothing is left before ``retry_s`` seconds have passed."""
        return self._headers(0, retry_s, _seconds(self.now_us) + retry_s, 0)

    def _headers(self, remaining: int, seconds: int, reset: int, spare_units: int) -> Headers:
        limits = self.limits
        if self._fixed is None:
            self._fixed = [
                (b"x-ratelimit-limit", b"%d" % self.burst),
                (b"ratelimit-policy", _policy(self.burst, limits.requests, limits.window_s)),
            ]
        headers = [
            *self._fixed,
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % reset),
            (b"ratelimit", b'"burst";r=%d;t=%d' % (remaining, seconds)),
        ]
        if self.quota is not None:
            limit, rest, ends = self.quota
            headers += [
                (b"x-quota-limit", b"%d" % limit),
                (b"x-quota-remaining", b"%d" % max(0, min(limit, rest + spare_units))),
                (b"x-quota-reset", b"%d" % ends),
            ]
        return headers


def _seconds(micros: int) -> int:
    """Whole seconds, rounded up."""
    return -(-micros // 1_000_000)


def _quota(limits: Limits, second: int, day_used: int, month_used: int) -> Quota | None:
    found = None
    if limits.month_units is not None:
        rest = limits.month_units - month_used
        found = (limits.month_units, rest, month_end(second))
    if limits.day_units is not None:
        rest = limits.day_units - day_used
        if found is None or rest < found[1]:
            found = (limits.day_units, rest, day_end(second))
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


@lru_cache(maxsize=4096)
def _policy(burst: int, requests: int, window_s: int) -> bytes:
    return b'"burst";q=%d;w=%d' % (burst, max(1, -(-burst * window_s // requests)))
