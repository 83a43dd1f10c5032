"""What tenants used, hour by hour, as ``limits.lua`` wrote it when their permits were settled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Annotated, Any, Final

import redis.asyncio as redis
from msgspec import Meta, Struct

from control_plane.admission import layout
from control_plane.admission.records.pages import Page
from control_plane.admission.records.server import reached
from control_plane.admission.records.shapes import Limits
from control_plane.admission.usage.period import (
    HOUR_S,
    LATEST,
    Group,
    Period,
    begin_of,
    day_name,
    month_of,
)
from control_plane.admission.usage.places import pack, unpack
from control_plane.admission.usage.quota import Quota, read_quota

_PART: Final = 1000
"""Fields that one command reads: the server decides on requests in between."""

_Text = Annotated[str, Meta(max_length=128)]


class Spot(Struct, frozen=True, order=True, array_like=True, forbid_unknown_fields=True):
    """Where a row stands among those of its tenant: they come in this order.

    Attributes:
        start: Epoch second at which its hour, day or month begins.
        client: ``k:<key id>``, or ``j:<digest>`` of a token's issuer and subject.
        model: Public name; empty for requests that reached none.
        version: Of the model.
    """

    start: Annotated[int, Meta(ge=0, le=LATEST)]
    client: _Text = ""
    model: _Text = ""
    version: _Text = ""


class Tally(Struct):
    """What was counted.

    Attributes:
        requests: That ended.
        errors: Of these, those that failed; nothing is paid for them.
        units: Of the quota, paid.
        compute_us: Their part of the time of calls to the model, microseconds.
    """

    requests: int = 0
    errors: int = 0
    units: int = 0
    compute_us: int = 0

    def add(self, measure: str, amount: int) -> None:
        """Count more of what ``limits.lua`` calls ``u``, ``r``, ``e`` or ``c``."""
        if measure == "u":
            self.units += amount
        elif measure == "r":
            self.requests += amount
        elif measure == "e":
            self.errors += amount
        elif measure == "c":
            self.compute_us += amount


Row = tuple[Spot, Tally]


class Usage:
    """Reads what tenants used; it never writes.

    Every method raises :class:`AdmissionUnavailable` if the server does not answer a step within
    two seconds.
    """

    def __init__(self, server: redis.Redis) -> None:
        """Read from a server.

        Args:
            server: The limits server; its replies are bytes.
        """
        self._server = server

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
        days = await self._written(subject, period.days(after.start if after else 0))
        for _, some in groupby(days, lambda day: _part_of(group, day)):
            tallies: dict[Spot, Tally] = {}
            for day in some:
                fields = await self._fields(layout.usage(subject, day_name(day)))
                _add_up(tallies, day, fields, period, group)
            for spot in sorted(tallies):
                if after is None or spot > after:
                    yield spot, tallies[spot]

    async def page(
        self, tenant: str, period: Period, group: Group, after: str | None, limit: int
    ) -> Page[Row]:
        """A part of :meth:`rows`.

        Args:
            tenant: Its id.
            period: Which hours.
            group: What they are added up by.
            after: Cursor of the page; None for the first.
            limit: Rows at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
        """
        found: list[Row] = []
        first = None if after is None else unpack(after, Spot)
        async with aclosing(self.rows(tenant, period, group, first)) as rows:
            async for row in rows:
                if len(found) == limit:
                    return Page(found, pack(found[-1][0]))
                found.append(row)
        return Page(found, None)

    async def units(self, tenant: str, period: Period) -> int:
        """Units that a tenant paid in a period."""
        rows = self.rows(tenant, period, Group.MONTH)
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

    async def _written(self, subject: str, days: list[int]) -> list[int]:
        """Those of some days on which there was any usage."""
        pipe = self._server.pipeline(transaction=False)
        for day in days:
            pipe.exists(layout.usage(subject, day_name(day)))
        async with reached():
            found = await pipe.execute()
        return [day for day, exists in zip(days, found, strict=True) if exists]

    async def _fields(self, key: str) -> dict[bytes, bytes]:
        """A hash, read in parts."""
        found: dict[bytes, bytes] = {}
        cursor = 0
        part: Any
        while True:
            async with reached():
                cursor, part = await self._server.hscan(key, cursor, count=_PART)
            found.update(part)
            if cursor == 0:
                return found


def _part_of(group: Group, day: int) -> int:
    """What is read as one: a month if rows are of months, else a day."""
    return month_of(day) if group is Group.MONTH else day


def _add_up(
    tallies: dict[Spot, Tally],
    day: int,
    fields: Mapping[bytes, bytes],
    period: Period,
    group: Group,
) -> None:
    for name, amount in fields.items():
        hour, client, model, version, measure = name.decode().split("|")
        second = day + int(hour) * HOUR_S
        if period.start <= second < period.end:
            spot = Spot(begin_of(group, second), client, model, version)
            tallies.setdefault(spot, Tally()).add(measure, int(amount))


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    found = Tally()
    for tally in tallies:
        found.requests += tally.requests
        found.errors += tally.errors
        found.units += tally.units
        found.compute_us += tally.compute_us
    return found
