"""The counts of a shadow as fields of one hash, additive over processes.

::

    compared                        requests that both versions answered
    agreed                          those of them on which both said the same
    pair|<length>|<stable>|<shadow> of the compared with labels; the length is the first label's
    distance|<bin>                  of the compared by distance
    latency|<side>|<bucket>         of the compared by latency of the answer and of the shadow
    error|<code>                    requests that the shadow failed on
    dropped|<reason>                requests that it did not see
"""

from __future__ import annotations

import math
from typing import Final

COMPARED: Final = "compared"
AGREED: Final = "agreed"
PAIR: Final = "pair"
DISTANCE: Final = "distance"
LATENCY: Final = "latency"
ERROR: Final = "error"
DROPPED: Final = "dropped"

STABLE: Final = "stable"
SHADOW: Final = "shadow"

OTHER: Final = ""
"""Stands for all labels beyond those that are told apart."""
LABELS: Final = 50
LABEL_LENGTH: Final = 64
DISTANCES: Final = 20
"""Bin 0 holds distance 0, bin ``b`` those up to ``b / 20``, which is part of it."""

_Pair = tuple[str, str]


def pair(stable: str, shadow: str) -> str:
    """The field of two labels; neither of them need be free of separators."""
    return f"{PAIR}|{len(stable)}|{stable}|{shadow}"


def read_pair(text: str) -> _Pair | None:
    """The labels of a field, of which ``pair|`` was taken off; None if it is none."""
    digits, _, rest = text.partition("|")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 3):
        return None
    length = int(digits)
    if rest[length : length + 1] != "|":
        return None
    return rest[:length], rest[length + 1 :]


def bin_of(distance: float) -> int:
    """The bin of a distance of 0 to 1."""
    return min(math.ceil(distance * DISTANCES), DISTANCES)
