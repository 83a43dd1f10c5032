"""From "not granted" to the error that the client sees."""

from __future__ import annotations

from typing import Any, Final

from control_plane.admission.limits.ledger import Granted, Reason
from control_plane.admission.limits.standing import Standing, day_end, month_end
from control_plane.errors import TidegateError

_WORDS: Final = {
    Reason.RATE: ("RATE_LIMITED", "Requests come faster than the tier allows"),
    Reason.CONCURRENCY: ("CONCURRENCY_LIMITED", "Too many requests are in flight"),
    Reason.MONTH_QUOTA: ("QUOTA_EXCEEDED", "The quota of the month is used up"),
    Reason.DAY_QUOTA: ("QUOTA_EXCEEDED", "The quota of the day is used up"),
    Reason.BLOCKED: ("TEMPORARILY_BLOCKED", "The client is blocked for a time"),
}


def refusal(granted: Granted, standing: Standing) -> TidegateError:
    """The error of a request that was not granted, with Retry-After and the rate headers."""
    code, message = _WORDS[granted.reason]
    seconds = retry_after_s(granted, standing)
    headers = {name.decode(): value.decode() for name, value in standing.refusal_headers(seconds)}
    details: dict[str, Any] = {"retry_after_s": seconds}
    limits = standing.limits
    if granted.reason is Reason.RATE:
        details |= {"limit": limits.requests, "window_s": limits.window_s, "burst": standing.burst}
    elif granted.reason is Reason.CONCURRENCY:
        details |= {"limit": limits.concurrency}
    elif granted.reason is Reason.MONTH_QUOTA:
        details |= {"quota": "month", "limit": limits.month_units}
    elif granted.reason is Reason.DAY_QUOTA:
        details |= {"quota": "day", "limit": limits.day_units}
    return TidegateError(
        message, code=code, details=details, headers={"retry-after": str(seconds), **headers}
    )


def retry_after_s(granted: Granted, standing: Standing) -> int:
    """Whole seconds after which one more may be granted, at least 1."""
    second = standing.now_us // 1_000_000
    if granted.reason is Reason.MONTH_QUOTA:
        return month_end(second) - second
    if granted.reason is Reason.DAY_QUOTA:
        return day_end(second) - second
    return max(1, -(-granted.retry_us // 1_000_000))
