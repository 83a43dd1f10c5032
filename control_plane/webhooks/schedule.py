"""What follows from an attempt: no I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct

from control_plane.webhooks.shapes import Status

DELAYS_S: Final = (
    0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
)  # fmt: skip
"""Seconds before each attempt, after the one before: about three days in all."""
JITTER: Final = 0.2
"""Part of a delay that is added at most, so that what failed together does not come together."""
MOST_S: Final = 86_400
"""The longest wait that a receiver may ask for, seconds."""
DISABLED: Final = "endpoint_disabled"
DELETED: Final = "endpoint_deleted"
TIMEOUT: Final = "timeout"

_GONE: Final = 410
_MAY_ASK: Final = frozenset({429, 503})
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_FINAL: Final = frozenset({DISABLED, DELETED})


class Verdict(Struct, frozen=True):
    """What becomes of a delivery.

    Attributes:
        status: ``waiting``, ``succeeded`` or ``failed``.
        delay_ms: Of one that waits: until its next attempt.
        is_gone: True if its receiver wants nothing any more.
        is_slow: True if its receiver did not answer in time, and gets one call at a time.
        error: Why it did not succeed, one word; empty if it did.
    """

    status: Status
    delay_ms: int = 0
    is_gone: bool = False
    is_slow: bool = False
    error: str = ""


def judged(number: int, status: int, error: str, wait_s: float | None, luck: float) -> Verdict:
    """What follows from an attempt.

    Args:
        number: Of the attempt, from 1.
        status: HTTP status; 0 without an answer.
        error: Why there was no answer, one word; empty with one.
        wait_s: Seconds that the receiver asked to wait; None if it did not.
        luck: 0 to 1, at random.
    """
    if 200 <= status < 300:
        return Verdict(Status.SUCCEEDED)
    word = error or f"status_{status}"
    is_slow = error == TIMEOUT
    if status == _GONE or error in _FINAL or number >= len(DELAYS_S):
        return Verdict(Status.FAILED, is_gone=status == _GONE, is_slow=is_slow, error=word)
    delay_s = DELAYS_S[number] * (1 + JITTER * luck)
    if status in _MAY_ASK and wait_s is not None:
        delay_s = max(delay_s, min(wait_s, MOST_S))
    return Verdict(Status.WAITING, int(delay_s * 1000), is_slow=is_slow, error=word)


def asked_wait(text: str | None, now: float) -> float | None:
    """Seconds that a Retry-After asks for (RFC 9110, section 10.2.3); None if it is none.

    Args:
        text: The header; None without one.
        now: Epoch seconds.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text.strip()):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
