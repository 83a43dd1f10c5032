"""Usage of all tenants with what it costs, in pages whose cursors stay good."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct

from control_plane.admission.accounts.shapes import Name
from control_plane.admission.usage.customers import Customer, Customers
from control_plane.admission.usage.lines import MonthLine, UsageLine, month_line, usage_line
from control_plane.admission.usage.period import LATEST, Group, Period, month_of
from control_plane.admission.usage.places import pack, refused, unpack
from control_plane.admission.usage.reading import Usage
from control_plane.admission.usage.tallies import Spot, Tally, total
from control_plane.records.pages import Page

MAX_LIMIT: Final = 10_000
"""Rows of one page at most."""
MAX_TENANTS: Final = 500
"""Tenants that one page looks at: it may be short, even empty, and have a cursor."""

_L = TypeVar("_L", UsageLine, MonthLine)


class _Place(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """After which row a page begins, and what its tenant had spent of that month by then."""

    tenant: Name
    spot: Spot
    spent: Annotated[int, Meta(ge=0, le=2**60)] = 0


_Lines = AsyncGenerator[tuple[_L, _Place], None]


class UsageExport:
    """Usage by the hour, and totals by the month.

    Lines come by tenant, hour, client, model and version. A cursor is the last line of its page,
    so none is left out or comes twice; it holds what was spent of that month before, too, so that
    the pages of one export share the quota out once. Every method raises
    :class:`AdmissionUnavailable` if a server does not answer a step within two seconds.
    """

    def __init__(self, customers: Customers, usage: Usage) -> None:
        """Read from both servers."""
        self._customers = customers
        self._usage = usage

    async def hours(
        self, period: Period, tenant: str | None, after: str | None, limit: int
    ) -> Page[UsageLine]:
        """Lines of the hours of a period.

        Args:
            period: Which hours.
            tenant: Only of this one; None for all, deleted ones too.
            after: Cursor of the page; None for the first.
            limit: Lines at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
            TidegateError: ``NOT_FOUND`` if there never was such a tenant.
        """
        return await self._page(
            lambda customer, place: self._hours(customer, period, place), tenant, after, limit
        )

    async def months(
        self, period: Period, tenant: str | None, after: str | None, limit: int
    ) -> Page[MonthLine]:
        """Lines of the months of a period of whole months; see :meth:`hours`."""
        return await self._page(
            lambda customer, place: self._months(customer, period, place), tenant, after, limit
        )

    async def _page(
        self,
        lines_of: Callable[[Customer, _Place | None], _Lines[_L]],
        tenant: str | None,
        after: str | None,
        limit: int,
    ) -> Page[_L]:
        place = None if after is None else _place(after, tenant)
        found: list[_L] = []
        looked = 0
        async with aclosing(self._walk(place, tenant)) as customers:
            async for customer in customers:
                own = place if place is not None and place.tenant == customer.id else None
                async with aclosing(lines_of(customer, own)) as lines:
                    async for line, here in lines:
                        if place is not None and len(found) == limit:
                            return Page(found, pack(place))
                        found.append(line)
                        place = here
                looked += 1
                if looked == MAX_TENANTS:
                    return Page(found, pack(_Place(customer.id, Spot(LATEST))))
        return Page(found, None)

    async def _walk(
        self, place: _Place | None, tenant: str | None
    ) -> AsyncGenerator[Customer, None]:
        if tenant is not None:
            yield await self._customers.get(tenant)
            return
        async with aclosing(self._customers.since(place.tenant if place else "")) as customers:
            async for customer in customers:
                yield customer

    async def _hours(
        self, customer: Customer, period: Period, place: _Place | None
    ) -> _Lines[UsageLine]:
        month, spent = (month_of(place.spot.start), place.spent) if place else (-1, 0)
        after = place.spot if place else None
        async with aclosing(self._usage.rows(customer.id, period, Group.HOUR, after)) as rows:
            async for spot, tally in rows:
                if month_of(spot.start) != month:
                    month = month_of(spot.start)
                    before = Period(month, max(month, period.start))
                    spent = await self._usage.units(customer.id, before)
                line = usage_line(customer.id, customer.terms, spot, tally, spent)
                spent += tally.units
                yield line, _Place(customer.id, spot, spent)

    async def _months(
        self, customer: Customer, period: Period, place: _Place | None
    ) -> _Lines[MonthLine]:
        tallies: dict[int, Tally] = {}
        async with aclosing(self._usage.rows(customer.id, period, Group.MONTH)) as rows:
            async for spot, tally in rows:
                tallies[spot.start] = total((tallies.get(spot.start, Tally()), tally))
        for start, tally in tallies.items():
            if place is None or start > place.spot.start:
                line = month_line(customer.id, customer.terms, start, tally)
                yield line, _Place(customer.id, Spot(start))


def _place(text: str, tenant: str | None) -> _Place:
    place = unpack(text, _Place)
    if tenant not in {None, place.tenant}:
        raise refused(text)
    return place
