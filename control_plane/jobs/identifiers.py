"""Ids of jobs: UUIDs of version 7 (RFC 9562), so that they sort by the time of submission."""

from __future__ import annotations

import re
import secrets
from typing import Final

from control_plane.jobs.shapes import JOB_ID

JOB: Final = re.compile(JOB_ID)
_LATEST_MS: Final = (1 << 48) - 1


def job_id(now: float) -> str:
    """An id for a job: its time to the millisecond, and 74 bits by chance.

    Args:
        now: Epoch seconds.
    """
    high, low = secrets.randbits(12), secrets.randbits(62)
    number = int(now * 1000) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    return f"job_{number:032x}"


def is_job_id(text: str) -> bool:
    """True for what looks like the id of a job."""
    return JOB.fullmatch(text) is not None


def since(milliseconds: int) -> str:
    """What no id of that time or later sorts before.

    Args:
        milliseconds: Epoch; what is out of the range of ids counts as its nearest end.
    """
    return f"job_{min(max(milliseconds, 0), _LATEST_MS):012x}"
