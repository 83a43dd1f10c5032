"""Periods of usage in whole hours, UTC, and the hours, days and months that they are told by."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from control_plane.admission.limits.standing import month_end
from control_plane.errors import InvalidParameter

HOUR_S: Final = 3600
DAY_S: Final = 86_400
MAX_DAYS: Final = 400
"""Length of a period at most, and how long ``limits.lua`` keeps usage."""

LATEST: Final = 253_402_300_799
"""Epoch second of the end of the year 9999, the last that a moment can be in."""

_FORM: Final = (
    "must be an hour, day or month in UTC such as 2026-11-23T13:00:00Z, 2026-11-23 or 2026-11, "
    "from 1970 to 9998"
)
_HOUR: Final = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})"
    r"(?:-(?P<day>[0-9]{2})(?:T(?P<hour>[0-9]{2})(?::00(?::00)?)?Z)?)?"
)


class Group(StrEnum):
    """What usage is added up by."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Period(Struct, frozen=True):
    """From an hour to the one that follows the last.

    Attributes:
        start: Epoch second of its begin.
        end: Epoch second of its end; not part of it.
    """

    start: int
    end: int

    def days(self, since: int = 0) -> list[int]:
        """Epoch seconds of the days that it touches, those before ``since`` left out."""
        first = max(self.start, since)
        return list(range(first - first % DAY_S, self.end, DAY_S))


def read_period(start: str | None, end: str | None, now: float) -> Period:
    """The query parameters ``from`` and ``to``; this calendar month for those left out.

    Args:
        start: First hour, day or month.
        end: Hour, day or month before which it ends.
        now: Epoch seconds.

    Raises:
        InvalidParameter: If one is none, the end is not after the start, or it is longer than 400
            days.
    """
    first = month_of(int(now)) if start is None else _read("from", start)
    last = month_end(int(now)) if end is None else _read("to", end)
    if last <= first:
        raise InvalidParameter("to", f"must be after from, which is {moment(first)}", end)
    if last - first > MAX_DAYS * DAY_S:
        raise InvalidParameter("from", f"must be within {MAX_DAYS} days before to", start)
    return Period(first, last)


def check_months(period: Period) -> None:
    """Refuse a period that is not of whole calendar months.

    Raises:
        InvalidParameter: Naming the end that is none of a month.
    """
    for name, second in (("from", period.start), ("to", period.end)):
        if month_of(second) != second:
            raise InvalidParameter(name, "must be a month such as 2026-11", moment(second))


def month_of(second: int) -> int:
    """Epoch second at which the calendar month (UTC) of a second begins."""
    found = datetime.fromtimestamp(second, UTC)
    return int(datetime(found.year, found.month, 1, tzinfo=UTC).timestamp())


def begin_of(group: Group, second: int) -> int:
    """Epoch second at which the hour, day or month (UTC) of a second begins."""
    if group is Group.MONTH:
        return month_of(second)
    return second - second % (HOUR_S if group is Group.HOUR else DAY_S)


def day_name(second: int) -> str:
    """A day as in the names of keys: ``YYYYMMDD``."""
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%d}"


def moment(second: int) -> str:
    """A moment as RFC 3339 writes it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _read(name: str, text: str) -> int:
    found = _HOUR.fullmatch(text)
    if found is None:
        raise InvalidParameter(name, _FORM, text)
    year, month, day, hour = (int(part) for part in found.groups(default="1"))
    try:
        read = datetime(year, month, day, hour if found["hour"] else 0, tzinfo=UTC)
    except ValueError:
        raise InvalidParameter(name, _FORM, text) from None
    if not 1970 <= year <= 9998:
        raise InvalidParameter(name, _FORM, text)
    return int(read.timestamp())
