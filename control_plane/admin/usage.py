"""Usage of tenants and what it costs: exports in pages, and where a tenant stands."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal, TypeVar

from litestar import Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Meta, Struct

from control_plane.admin.answers import whole
from control_plane.admin.operation import Query, operation
from control_plane.admin.schemas import NextCursor
from control_plane.admin.services import AdminServices
from control_plane.admission.limits.standing import month_end
from control_plane.admission.usage.export import MAX_LIMIT
from control_plane.admission.usage.lines import MonthLine, UsageLine, comma_separated, ndjson
from control_plane.admission.usage.period import Period, check_months, month_of, read_period
from control_plane.admission.usage.quota import Quota
from control_plane.errors import InvalidParameter
from control_plane.records.pages import Page

DEFAULT_LIMIT: Final = 1000
NEXT: Final = "x-next-cursor"
"""Header of an answer that is not JSON: the cursor of the next page, absent at the end."""

_TYPES: Final = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_MOMENT: Final = {"type": "string", "examples": ["2026-11", "2026-11-23", "2026-11-23T13:00:00Z"]}
_PERIOD: Final = (
    Query("from", "First hour, day or month, UTC; this month without it", _MOMENT),
    Query("to", "Hour, day or month before which it ends; the next month without it", _MOMENT),
)
_QUERY: Final = (
    *_PERIOD,
    Query("tenant", "Only of this one, deleted or not", {"type": "string", "maxLength": 63}),
    Query(
        "format",
        "JSON, or lines with the next cursor in the header X-Next-Cursor",
        {"enum": ["json", *_TYPES], "default": "json"},
    ),
    Query("cursor", "Next cursor of the page before", {"type": "string", "maxLength": 800}),
    Query(
        "limit",
        "Lines of the page",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
)
_From = Annotated[str | None, QueryParameter(name="from")]
_Format = Annotated[str | None, QueryParameter(name="format")]
_L = TypeVar("_L", UsageLine, MonthLine)


class UsagePage(Struct, frozen=True):
    """Usage by tenant, hour, client, model and version."""

    items: list[UsageLine]
    next_cursor: NextCursor


class MonthPage(Struct, frozen=True):
    """Usage by tenant and month."""

    items: list[MonthLine]
    next_cursor: NextCursor


class TenantUsage(Struct, frozen=True):
    """Where a tenant stands."""

    tenant: str
    state: Annotated[Literal["open", "closed"], Meta(description="`closed`: it was deleted")]
    quota: Quota
    month: Annotated[MonthLine | None, Meta(description="This month; null without any usage")]


@get(
    "/usage",
    opt=operation("usage:read", answer=UsagePage, query=_QUERY, media_types=tuple(_TYPES.values())),
)
async def export_usage(
    state: State,
    start: _From = None,
    to: FromQuery[str | None] = None,
    tenant: FromQuery[str | None] = None,
    form: _Format = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> Response[Any]:
    """Export usage by the hour, with what it costs."""
    services: AdminServices = state.services
    period = read_period(start, to, time.time())
    found = _format(form)
    page = await services.exports.hours(period, tenant, cursor, _limit(limit))
    answer = UsagePage(page.items, page.next)
    return _answer(page, answer, UsageLine, found, is_first=cursor is None)


@get(
    "/usage/months",
    opt=operation("usage:read", answer=MonthPage, query=_QUERY, media_types=tuple(_TYPES.values())),
)
async def export_months(
    state: State,
    start: _From = None,
    to: FromQuery[str | None] = None,
    tenant: FromQuery[str | None] = None,
    form: _Format = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> Response[Any]:
    """Export totals of whole months, with what they cost."""
    services: AdminServices = state.services
    period = read_period(start, to, time.time())
    check_months(period)
    found = _format(form)
    page = await services.exports.months(period, tenant, cursor, _limit(limit))
    answer = MonthPage(page.items, page.next)
    return _answer(page, answer, MonthLine, found, is_first=cursor is None)


@get("/tenants/{tenant:str}/usage", opt=operation("usage:read", answer=TenantUsage))
async def get_usage(state: State, tenant: FromPath[str]) -> TenantUsage:
    """Show what is left of a tenant's quotas, and what it used this month."""
    services: AdminServices = state.services
    customer = await services.customers.get(tenant)
    now = int(time.time())
    month = Period(month_of(now), month_end(now))
    page = await services.exports.months(month, tenant, None, 1)
    return TenantUsage(
        tenant=customer.id,
        state="closed" if customer.is_closed else "open",
        quota=await services.usage.quota(tenant, customer.limits),
        month=page.items[0] if page.items else None,
    )


def _format(text: str | None) -> str:
    if text not in {None, "json", *_TYPES}:
        raise InvalidParameter("format", "must be json, csv or ndjson", text)
    return text or "json"


def _limit(text: str | None) -> int:
    return DEFAULT_LIMIT if text is None else whole("limit", text, 1, MAX_LIMIT)


def _answer(
    page: Page[_L],
    answer: UsagePage | MonthPage,
    shape: type[_L],
    found: str,
    *,
    is_first: bool,
) -> Response[Any]:
    """A page; of CSV only the first has a header, so that all of them together are one file."""
    if found == "json":
        return Response(answer)
    headers = {} if page.next is None else {NEXT: page.next}
    if found == "ndjson":
        return Response(ndjson(page.items), media_type=_TYPES[found], headers=headers)
    header = "present" if is_first else "absent"
    text = comma_separated(page.items, shape, header=is_first)
    media_type = f"{_TYPES[found]}; charset=utf-8; header={header}"
    return Response(text, media_type=media_type, headers=headers)


HANDLERS: Final = (export_usage, export_months, get_usage)
