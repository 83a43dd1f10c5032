"""Ids of rollouts: they sort by time, and none is made twice."""

from __future__ import annotations

import re
import secrets
from typing import Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuv"
"""Base32hex (RFC 4648, section 7), in which texts sort as numbers do."""

_DIGITS: Final = 8
_TICKS_A_SECOND: Final = 64
_NUMBER: Final = "(?:0|[1-9][0-9]{0,5})"

ENDED_ROLLOUT: Final = re.compile(
    rf"ro_[{_ALPHABET}]{{16}}(?:[.]v{_NUMBER}[.]{_NUMBER}[.]{_NUMBER})?"
)
"""What the id of an ended rollout looks like, or of a candidate that was taken out of one."""


def rollout_id(now: float) -> str:
    """An id for a rollout: ``ro_``, its time to 1/64 s, and 40 bits by chance.

    Args:
        now: Epoch seconds.
    """
    ticks = int(now * _TICKS_A_SECOND) % (1 << 5 * _DIGITS)
    return "ro_" + _digits(ticks) + _digits(secrets.randbits(5 * _DIGITS))


def part_of(rollout: str, version: str) -> str:
    """The id of what is kept of one candidate while its rollout goes on."""
    return f"{rollout}.{version}"


def _digits(number: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_DIGITS)))
