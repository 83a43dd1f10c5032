"""What a failed attempt means: over for good, or tried again, and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from control_plane.error_codes import CATALOGUE
from control_plane.errors import TidegateError

FIRST_S: Final = 1.0
FACTOR: Final = 8.0
CAP_S: Final = 600.0
"""With the four attempts of the default setting a model may be away for more than a minute."""
JITTER: Final = 0.25
"""Part of the wait that chance adds or takes away, so that what failed together comes apart."""


def may_pass(error: TidegateError) -> bool:
    """True if another attempt may succeed: the catalogue calls the code retryable."""
    return CATALOGUE[error.code].retryable


def delay_ms(error: TidegateError, attempts: int, toss: Callable[[], float] = random.random) -> int:
    """Milliseconds until the next attempt: exponential, with jitter, and never before Retry-After.

    Args:
        error: Why the latest attempt failed.
        attempts: How often the job was tried, at least 1.
        toss: A number in [0, 1).
    """
    wait_s = min(CAP_S, FIRST_S * FACTOR ** min(attempts - 1, 10))
    wait_s *= 1 + JITTER * (2 * toss() - 1)
    asked = error.headers.get("retry-after", "")
    return round(1000 * max(wait_s, float(asked) if asked.isdecimal() else 0.0))
