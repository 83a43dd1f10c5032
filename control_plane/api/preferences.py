"""What the headers of a submission say: Prefer (RFC 7240), Cancel-After, Idempotency-Key."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from control_plane.errors import InvalidParameter

MAX_WAIT_S: Final = 60
"""Who prefers to wait longer waits so long."""
MAX_CANCEL_S: Final = 604_800
"""Seven days."""
MAX_PREFERENCES: Final = 16

_CANCEL: Final = re.compile(rb"([0-9]{1,7})([smh]?)")
_SECONDS: Final = {b"": 1, b"s": 1, b"m": 60, b"h": 3600}
_KEY: Final = re.compile(rb"[!-~]{1,255}")
_PREFERENCE: Final = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*"
    rb"(?:=[ \t]*(\"(?:[^\"\\]|\\.)*\"|[!#$%&'*+.^_`|~0-9A-Za-z-]*))?[ \t]*(?:;[^,]*)?"
)
_NUMBER: Final = re.compile(rb"[0-9]{1,9}")


class Preferences(Struct, frozen=True):
    """What a client prefers; what is not known here, or not well formed, is ignored (RFC 7240).

    Attributes:
        respond_async: Whether a job is preferred.
        wait_s: Seconds to wait for it, 0 to 60; None if not said.
    """

    respond_async: bool = False
    wait_s: int | None = None

    def applied(self, *, respond_async: bool) -> str:
        """The value of Preference-Applied; empty if none was.

        Args:
            respond_async: True if that preference was honoured.
        """
        parts = ["respond-async"] if respond_async and self.respond_async else []
        if self.wait_s is not None:
            parts.append(f"wait={self.wait_s}")
        return ", ".join(parts)


NONE: Final = Preferences()


def read_preferences(headers: dict[bytes, bytes]) -> Preferences:
    """The header Prefer. Of a preference that stands twice the first counts."""
    value = headers.get(b"prefer")
    if value is None:
        return NONE
    found: dict[bytes, bytes] = {}
    for part in value.split(b",")[:MAX_PREFERENCES]:
        match = _PREFERENCE.fullmatch(part)
        if match is not None:
            found.setdefault(match[1].lower(), (match[2] or b"").strip(b'"'))
    seconds = found.get(b"wait", b"")
    is_number = _NUMBER.fullmatch(seconds) is not None
    return Preferences(
        respond_async=b"respond-async" in found,
        wait_s=min(int(seconds), MAX_WAIT_S) if is_number else None,
    )


def read_cancel_after_ms(headers: dict[bytes, bytes]) -> int:
    """The header Cancel-After, milliseconds; 0 without one.

    Raises:
        InvalidParameter: If it is not a number of seconds, ``90s``, ``15m`` or ``2h``, from one
            second to seven days.
    """
    value = headers.get(b"cancel-after")
    if value is None:
        return 0
    match = _CANCEL.fullmatch(value)
    seconds = int(match[1]) * _SECONDS[match[2]] if match is not None else 0
    if not 1 <= seconds <= MAX_CANCEL_S:
        issue = "must be seconds, or as 90s, 15m, 2h, from 1 second to 7 days"
        raise InvalidParameter("Cancel-After", issue, value.decode("latin-1"))
    return seconds * 1000


def read_key(headers: dict[bytes, bytes]) -> str | None:
    """The header Idempotency-Key; None without one.

    Raises:
        InvalidParameter: If it is not 1 to 255 visible ASCII characters.
    """
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    if not _KEY.fullmatch(value):
        issue = "must be 1 to 255 visible ASCII characters"
        raise InvalidParameter("Idempotency-Key", issue)
    return value.decode("ascii")
