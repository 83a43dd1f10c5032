"""What tenants used, hour by hour, as ``limits.lua`` wrote it when their permits were settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import groupby

import redis.asyncio as redis
from msgspec import Struct

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.usage.period import (
    DAY_S,
    HOUR_S,
    Group,
    Period,
    begin_of,
    day_name,
    month_of,
)
from control_plane.admission.usage.places import pack, unpack
from control_plane.admission.usage.quota import Quota, read_quota
from control_plane.admission.usage.scan import LARGE, scan, windows
from control_plane.admission.usage.tallies import Row, Spot, Tally, add_up, in_order
from control_plane.admission.usage.turns import Turns
from control_plane.records.pages import Page
from control_plane.records.server import reached


class _Scan(Struct, frozen=True):
    """What is read of one day: the names that match, and where their rows begin, by hour."""

    day: int
    pattern: str | None
    starts: dict[bytes, int]


class Usage:
    """Reads what tenants used; it never writes.

    Every method raises :class:`AdmissionUnavailable` if the server does not answer a step within
    two seconds.
    """

    def __init__(self, server: redis.Redis, turns: Turns | None = None) -> None:
        """Read from a server.

        Args:
            server: The limits server; its replies are bytes.
            turns: Of the pages of :meth:`page`; None for its own.
        """
        self._server = server
        self._turns = turns or Turns()

    async def rows(
        self, tenant: str, period: Period, group: Group, after: Spot | None = None
    ) -> AsyncGenerator[Row, None]:
        """A tenant's usage by client, model, version and hour, day or month, in order.

        Only hours of the period count. What is written meanwhile may or may not be in it.

        Args:
            tenant: Its id.
            period: Which hours.
            group: What they are added up by.
            after: The row after which to begin; None for the first.
        """
        subject = f"t:{tenant}"
        sizes = await self._sizes(subject, period.days(after.start if after else 0))
        for scans in _plan(sizes, period, group, after):
            tallies: dict[Spot, Tally] = {}
            for each in scans:
                key = layout.usage(subject, day_name(each.day))
                async with aclosing(scan(self._server, key, each.pattern)) as parts:
                    async for fields in parts:
                        add_up(tallies, each.starts, fields, after)
            async with aclosing(in_order(tallies)) as rows:
                async for row in rows:
                    yield row

    async def page(
        self, tenant: str, period: Period, group: Group, after: str | None, limit: int
    ) -> Page[Row]:
        """A part of :meth:`rows`; those of two tenants are read at a time, one of each.

        Args:
            tenant: Its id.
            period: Which hours.
            group: What they are added up by.
            after: Cursor of the page; None for the first.
            limit: Rows at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
            Overloaded: If others are read for two seconds.
        """
        found: list[Row] = []
        first = None if after is None else unpack(after, Spot)
        async with (
            self._turns.turn(tenant),
            aclosing(self.rows(tenant, period, group, first)) as rows,
        ):
            async for row in rows:
                if len(found) == limit:
                    return Page(found, pack(found[-1][0]))
                found.append(row)
        return Page(found, None)

    async def units(self, tenant: str, period: Period) -> int:
        """Units that a tenant paid in a period."""
        async with aclosing(self.rows(tenant, period, Group.MONTH)) as rows:
            return sum([tally.units async for _, tally in rows])

    async def quota(self, tenant: str, limits: Limits | None) -> Quota:
        """Where a tenant stands now, by the server's clock.

        Args:
            tenant: Its id.
            limits: Its own; None if they are not known any more.
        """
        return await read_quota(self._server, tenant, limits)

    async def last_used(self, tenant: str, clients: Sequence[str]) -> list[int | None]:
        """Epoch seconds at which clients' latest calls ended; None for one without a call."""
        if not clients:
            return []
        fields = [f"l:{client}" for client in clients]
        async with reached():
            found = await self._server.hmget(layout.state(f"t:{tenant}"), fields)
        return [None if text is None else int(text) for text in found]

    async def _sizes(self, subject: str, days: list[int]) -> dict[int, int]:
        """Fields of those days on which there was any usage."""
        pipe = self._server.pipeline(transaction=False)
        for day in days:
            pipe.hlen(layout.usage(subject, day_name(day)))
        async with reached():
            found: list[int] = await pipe.execute()
        return {day: size for day, size in zip(days, found, strict=True) if size}


def _plan(
    sizes: Mapping[int, int], period: Period, group: Group, after: Spot | None
) -> Iterator[list[_Scan]]:
    """What is read, in the order of its rows; rows of one list are sorted together."""
    for _, some in groupby(sizes, lambda day: month_of(day) if group is Group.MONTH else day):
        days = {day: _starts(day, period, group, after) for day in some}
        if group is not Group.HOUR:
            yield [_Scan(day, None, starts) for day, starts in days.items()]
            continue
        for day, starts in days.items():
            if not starts:
                continue
            hours = [int(hour) for hour in starts]
            for pattern in windows(hours) if sizes[day] > LARGE else (None,):
                yield [_Scan(day, pattern, starts)]


def _starts(day: int, period: Period, group: Group, after: Spot | None) -> dict[bytes, int]:
    """Where the rows of a day begin, by hour; those of pages before and of no interest left out."""
    first = max(day, period.start, after.start if after and group is Group.HOUR else 0)
    seconds = range(first, min(day + DAY_S, period.end), HOUR_S)
    return {b"%02d" % ((second - day) // HOUR_S): begin_of(group, second) for second in seconds}
