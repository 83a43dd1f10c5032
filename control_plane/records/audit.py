"""The audit log: an append-only stream that every change of the records writes in its own step."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from msgspec import Struct

from control_plane.records import places
from control_plane.records.pages import Page, cursor, last_of
from control_plane.records.server import read

MAX_SCAN: Final = 10_000
"""Entries that one page looks at: a filter that fits few gives short pages with a cursor."""

_BATCH: Final = 500
_ENTRY_ID: Final = re.compile(r"(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,18})")
_BELOW_ALL: Final = "(0-0"
"""An end that no entry is below, and that the server takes for an error."""


class AuditEntry(Struct, frozen=True):
    """Who changed what.

    Attributes:
        id: Grows with time.
        at: By the clock of the system of record, epoch milliseconds.
        who: ``k:<key id>`` of an operator, or ``system``.
        action: Such as ``tenant.patch``.
        target: Such as ``tenant:acme``.
        before: The record as it was; None if there was none.
        after: The record as it is; None if there is none.
        request_id: Of the request that asked for it; empty without one.
    """

    id: str
    at: int
    who: str
    action: str
    target: str
    before: Any
    after: Any
    request_id: str


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries; what is None lets every entry through.

    Attributes:
        target: Exactly.
        who: Exactly.
        action: Exactly.
        since: First second, epoch.
        until: Second before which entries end, epoch.
        ascending: True for the oldest first.
    """

    target: str | None = None
    who: str | None = None
    action: str | None = None
    since: int | None = None
    until: int | None = None
    ascending: bool = False

    def fits(self, entry: AuditEntry) -> bool:
        """True if target, who and action are those asked for."""
        asked = ((self.target, entry.target), (self.who, entry.who), (self.action, entry.action))
        return all(wanted is None or wanted == found for wanted, found in asked)


class AuditLog:
    """Reads the audit log."""

    def __init__(self, server: redis.Redis) -> None:
        """Read from a server.

        Args:
            server: The system of record.
        """
        self._server = server

    async def page(self, wanted: AuditFilter, after: str | None, limit: int) -> Page[AuditEntry]:
        """Entries in the order of the filter.

        A page looks at 10,000 entries at most; it may be short, even empty, and have a cursor.

        Args:
            wanted: Which.
            after: Cursor of the page; None for the first.
            limit: Items at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
            AdmissionUnavailable: If the system of record does not answer.
        """
        low = "-" if wanted.since is None else f"{wanted.since * 1000}-0"
        high = "+" if wanted.until is None else f"({wanted.until * 1000}-0"
        last = None if after is None else last_of(after, _ENTRY_ID)
        found: list[AuditEntry] = []
        for _ in range(0, MAX_SCAN, _BATCH):
            if last is not None:
                low, high = (f"({last}", high) if wanted.ascending else (low, f"({last}")
            if high == _BELOW_ALL:
                return Page(found, None)
            rows = await self._rows(wanted, low, high)
            for entry in map(_entry, rows):
                last = entry.id
                if wanted.fits(entry):
                    found.append(entry)
                if len(found) == limit:
                    return Page(found, cursor(last))
            if len(rows) < _BATCH:
                return Page(found, None)
        return Page(found, None if last is None else cursor(last))

    async def _rows(self, wanted: AuditFilter, low: str, high: str) -> list[Any]:
        entries: Callable[..., Any] = (
            self._server.xrange if wanted.ascending else self._server.xrevrange
        )
        ends = (low, high) if wanted.ascending else (high, low)
        rows: list[Any] = await read(
            self._server, lambda: entries(places.AUDIT, *ends, count=_BATCH)
        )
        return rows


def _entry(row: tuple[bytes, dict[bytes, bytes]]) -> AuditEntry:
    number, fields = row[0].decode(), {k.decode(): v.decode() for k, v in row[1].items()}
    return AuditEntry(
        id=number,
        at=int(number.partition("-")[0]),
        who=fields["who"],
        action=fields["action"],
        target=fields["target"],
        before=msgspec.json.decode(fields["before"]),
        after=msgspec.json.decode(fields["after"]),
        request_id=fields["request_id"],
    )
