"""The counts of a step as fields of one hash: additive over processes, bounded in number.

A field is ``side|group|count`` or ``side|group|count|which``: ``candidate|17|requests``,
``control|3|latency|52``, ``candidate|17|label|positive``.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

GROUPS: Final = 64
"""Groups of subjects. Means over so many parts are close to normal, and the hash stays small."""
LABELS: Final = 50
"""Labels told apart; the rest are counted together as ``OTHER_LABELS``."""
LABEL_LENGTH: Final = 64
OTHER_LABELS: Final = ""
BUCKET_RATIO: Final = 1.25 ** (1 / 3)
"""The latency scale: edges of buckets are a factor of 1.077 apart, three of which are 1.25."""
LEAST_LATENCY_S: Final = 1e-4
BUCKETS: Final = 218
"""From 0.1 ms to 1,000 s, with one bucket for all that is shorter."""
_LOG_RATIO: Final = math.log(BUCKET_RATIO)
_ROUNDING: Final = 1e-9
SCORE_UNITS: Final = 1_000_000
"""Scores of 0 to 1 are summed in millionths, so that sums stay exact."""
SEPARATOR: Final = "|"


class Side(StrEnum):
    """Which lane answered: the two that are compared."""

    CANDIDATE = "candidate"
    CONTROL = "control"


class Count(StrEnum):
    """What is counted for each group of each side."""

    REQUESTS = "requests"
    FAILED = "failed"
    LATENCY = "latency"
    LABEL = "label"
    SCORED = "scored"
    SCORE = "score"
    COMPARED = "compared"
    AGREED = "agreed"


def bucket_of(latency_s: float) -> int:
    """The bucket of a latency in seconds, 0 to 217.

    Bucket 0 ends at 0.1 ms, bucket ``b`` at 0.1 ms x 1.25^(b/3), which belongs to it. The last one
    has no end.
    """
    if latency_s <= LEAST_LATENCY_S:
        return 0
    return min(buckets_of(latency_s / LEAST_LATENCY_S), BUCKETS - 1)


def bucket_end_s(bucket: int) -> float:
    """The longest latency of a bucket, seconds."""
    return LEAST_LATENCY_S * BUCKET_RATIO**bucket


def buckets_of(ratio: float) -> int:
    """How many buckets a ratio of latencies of at least 1 spans, rounded up: 1.25 spans three."""
    return math.ceil(math.log(ratio) / _LOG_RATIO - _ROUNDING)
