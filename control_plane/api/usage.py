"""What the caller's tenant used, and what is left of its quotas."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter
from msgspec import Meta, Struct

from control_plane.admission.usage.lines import Client, Compute, Count, Errors, Model
from control_plane.admission.usage.period import Group, moment, read_period
from control_plane.admission.usage.quota import Quota
from control_plane.admission.usage.tallies import Spot, Tally
from control_plane.api.visit import member_of
from control_plane.errors import InvalidParameter
from control_plane.services import Services

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000

_DIGITS: Final = re.compile(r"[0-9]{1,4}")


class UsageRow(Struct, frozen=True, kw_only=True):
    """What one client used of one model version in one hour, day or month."""

    start: Annotated[str, Meta(description="Begin of the hour, day or month, UTC (RFC 3339)")]
    client: Client
    model: Model
    version: str
    requests: Count
    errors: Errors
    units: Count
    compute_ms: Compute


class UsageView(Struct, frozen=True, kw_only=True):
    """Where the tenant stands, and a page of what it used."""

    tenant: str
    quota: Quota
    start: Annotated[str, Meta(description="Begin of the period")] = msgspec.field(name="from")
    to: Annotated[str, Meta(description="Its end, which is not part of it")]
    group: Group
    items: list[UsageRow]
    next_cursor: Annotated[str, Meta(description="Parameter `cursor` of the next page")] | None


@get("/api/v1/usage")
async def get_usage(
    request: Request[Any, Any, Any],
    state: State,
    start: Annotated[str | None, QueryParameter(name="from")] = None,
    to: FromQuery[str | None] = None,
    group: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[str | None] = None,
) -> UsageView:
    """Usage of the caller's tenant by client, model, version and hour, day or month."""
    principal = member_of(request, "Figures of usage")
    period = read_period(start, to, time.time())
    by = _group(group)
    services: Services = state.services
    usage = services.admission.usage
    page = await usage.page(principal.tenant, period, by, cursor, _limit(limit))
    return UsageView(
        tenant=principal.tenant,
        quota=await usage.quota(principal.tenant, principal.limits),
        start=moment(period.start),
        to=moment(period.end),
        group=by,
        items=[_row(spot, tally) for spot, tally in page.items],
        next_cursor=page.next,
    )


def _row(spot: Spot, tally: Tally) -> UsageRow:
    return UsageRow(
        start=moment(spot.start),
        client=spot.client,
        model=spot.model,
        version=spot.version,
        requests=tally.requests,
        errors=tally.errors,
        units=tally.units,
        compute_ms=tally.compute_us / 1000,
    )


def _group(text: str | None) -> Group:
    if text is None:
        return Group.DAY
    try:
        return Group(text)
    except ValueError:
        raise InvalidParameter("group", f"must be one of {', '.join(Group)}", text) from None


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be a whole number from 1 to {MAX_LIMIT}", text)
    return int(text)
