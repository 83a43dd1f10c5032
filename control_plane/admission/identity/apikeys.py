"""API keys: minting, reading and opening them.

::

    tg_live_abcdefghij27_mP1q…27 characters…Zx0Ab1Cd
            └── id ────┘ └── secret ──────┘└ sum ─┘

The id is public and names the record. The secret has 160 bits. The checksum (CRC-32, base62) goes
over all that stands before it, so that a mistyped key is refused with no look-up. What is kept of
a key is a keyed hash (HMAC-SHA256, RFC 2104).
"""

from __future__ import annotations

import hmac
import math
import re
import secrets
import string
import zlib
from typing import Final

from msgspec import Struct

from control_plane.admission.accounts.shapes import ApiKey

PREFIX: Final = "tg_live_"
SECRET_LENGTH: Final = 27
_SUM_LENGTH: Final = 6
_ID_ALPHABET: Final = string.ascii_lowercase + "234567"
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM: Final = re.compile(r"tg_live_([a-z2-7]{12})_[A-Za-z0-9]{33,64}")


class ParsedKey(Struct, frozen=True):
    """A key whose form and checksum are right.

    Attributes:
        id: Names its record.
        text: All of it; never to be shown.
    """

    id: str
    text: str

    def __repr__(self) -> str:
        return f"ParsedKey({self.id})"


def mint(key_id: str | None = None) -> tuple[str, str]:
    """Draw a key.

    Args:
        key_id: Of the key that it replaces; None for a random one.

    Returns:
        The key, to be shown once, and its id.
    """
    key_id = key_id or "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
    secret = "".join(secrets.choice(_BASE62) for _ in range(SECRET_LENGTH))
    stem = f"{PREFIX}{key_id}_{secret}"
    return stem + checksum(stem), key_id


def checksum(stem: str) -> str:
    """The six characters that end a key, from all that stands before them (ASCII)."""
    rest = zlib.crc32(stem.encode("ascii"))
    digits = []
    for _ in range(_SUM_LENGTH):
        rest, digit = divmod(rest, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def parse(text: str) -> ParsedKey | None:
    """Read a key; None if its form or its checksum is wrong."""
    match = _FORM.fullmatch(text)
    if match is None or checksum(text[:-_SUM_LENGTH]) != text[-_SUM_LENGTH:]:
        return None
    return ParsedKey(match[1], text)


def digest(text: str, pepper: str) -> str:
    """The keyed hash of a key, hex.

    Args:
        text: The whole key.
        pepper: The setting ``key_pepper``.
    """
    return hmac.digest(pepper.encode(), text.encode(), "sha256").hex()


def closes_at(record: ApiKey, presented: str) -> float:
    """Epoch second from which a digest does not open a record; infinity for never.

    0 if it does not open it at all. The time taken does not depend on where digests differ.
    """
    end = 0.0
    for place, kept in enumerate(record.digests):
        if hmac.compare_digest(kept.encode(), presented.encode()):
            end = max(end, math.inf if place == 0 else record.digest_until)
    if record.revoked_at:
        return 0.0
    return min(end, record.expires_at) if record.expires_at else end


def opens(record: ApiKey, presented: str, now: float) -> bool:
    """True if a digest opens a record at a time.

    Args:
        record: What is kept of the key.
        presented: The ``digest`` of the key that was sent.
        now: Epoch seconds.
    """
    return now < closes_at(record, presented)
