"""Request ids."""

from __future__ import annotations

import random
import re
import time
from typing import Final

_random = random.SystemRandom()
_CLIENT: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_bits = random.Random(_random.getrandbits(128)).getrandbits  # noqa: S311 - unique, not secret


def new_request_id() -> str:
    """A request id: ``req_``, 48 bits of Unix milliseconds and 80 random bits, in hexadecimal.

    Ids sort by the time of their making.
    """
    return f"req_{time.time_ns() // 1_000_000:012x}{_bits(80):020x}"


def client_request_id(value: bytes | None) -> str | None:
    """A client's own request id if it is well formed: 1 to 128 of ``A-Za-z0-9._:/+=@-``."""
    if value is None:
        return None
    text = value.decode("latin-1")
    return text if _CLIENT.fullmatch(text) else None
