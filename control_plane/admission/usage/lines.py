"""Lines of a bill: what was used and what it costs, as JSON, NDJSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from control_plane.admission.usage.billing import Terms, charge
from control_plane.admission.usage.period import moment
from control_plane.admission.usage.tallies import Spot, Tally

Count = Annotated[int, Meta(ge=0)]
Errors = Annotated[int, Meta(ge=0, description="Of the requests; nothing is paid for them")]
Compute = Annotated[
    float, Meta(ge=0, description="Their part of the time of calls to the model, milliseconds")
]
Client = Annotated[
    str, Meta(description="`k:<key id>`, or `j:<digest>` of a token's issuer and subject")
]
Model = Annotated[str, Meta(description="Empty for requests that reached no model")]
Included = Annotated[int, Meta(ge=0, description="Units within the month's quota")]
Overage = Annotated[int, Meta(ge=0, description="Units beyond it, where that is billed")]
Amount = Annotated[
    int | None,
    Meta(description="Price of the included units, millionths of the currency; null if unknown"),
]
OverageAmount = Annotated[
    int | None,
    Meta(description="Price of the overage, millionths of the currency; null if unknown"),
]
Currency = Annotated[str, Meta(description="ISO 4217; empty if the tier was deleted")]
PriceVersion = Annotated[
    int | None, Meta(description="Revision of the tier; null if it was deleted")
]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class UsageLine(Struct, frozen=True, kw_only=True):
    """What one client used of one model version in one hour, and what it costs."""

    tenant: str
    hour: Annotated[str, Meta(description="Its begin, UTC (RFC 3339)")]
    client: Client
    model: Model
    version: str
    requests: Count
    errors: Errors
    units: Count
    compute_ms: Compute
    included_units: Included
    overage_units: Overage
    amount_micros: Amount
    overage_amount_micros: OverageAmount
    currency: Currency
    tier: str
    tier_revision: PriceVersion


class MonthLine(Struct, frozen=True, kw_only=True):
    """What one tenant used in one calendar month (UTC), and what it costs."""

    tenant: str
    month: Annotated[str, Meta(description="Such as `2026-11`")]
    requests: Count
    errors: Errors
    units: Count
    compute_ms: Compute
    included_units: Included
    overage_units: Overage
    amount_micros: Amount
    overage_amount_micros: OverageAmount
    currency: Currency
    tier: str
    tier_revision: PriceVersion


Line = UsageLine | MonthLine


def usage_line(tenant: str, terms: Terms, spot: Spot, tally: Tally, spent: int) -> UsageLine:
    """The line of an hour.

    Args:
        tenant: Its id.
        terms: What it is charged.
        spot: Who used what.
        tally: How much.
        spent: Units of that month before.
    """
    return UsageLine(
        tenant=tenant,
        hour=moment(spot.start),
        client=spot.client,
        model=spot.model,
        version=spot.version,
        **_costs(terms, tally, spent),
    )


def month_line(tenant: str, terms: Terms, start: int, tally: Tally) -> MonthLine:
    """The line of a whole month.

    Args:
        tenant: Its id.
        terms: What it is charged.
        start: Epoch second at which the month begins.
        tally: What it used in all.
    """
    return MonthLine(tenant=tenant, month=moment(start)[:7], **_costs(terms, tally, 0))


def _costs(terms: Terms, tally: Tally, spent: int) -> dict[str, Any]:
    return {
        "requests": tally.requests,
        "errors": tally.errors,
        "units": tally.units,
        "compute_ms": tally.compute_us / 1000,
        **msgspec.structs.asdict(charge(terms, tally.units, spent)),
        "currency": terms.currency,
        "tier": terms.tier,
        "tier_revision": terms.revision,
    }


def ndjson(lines: Iterable[Line]) -> bytes:
    """A JSON object a line."""
    return msgspec.json.Encoder().encode_lines(list(lines))


def comma_separated(lines: Sequence[Line], shape: type[Line], *, header: bool) -> bytes:
    """CSV (RFC 4180), UTF-8; a cell that a spreadsheet would take for a formula gets a quote.

    Args:
        lines: All of one shape.
        shape: That shape, which names the columns.
        header: True for a first line with the names of the columns.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if header:
        writer.writerow(shape.__struct_fields__)
    for line in lines:
        writer.writerow(_cell(value) for value in msgspec.structs.astuple(line))
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
