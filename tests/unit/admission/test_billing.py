"""Amounts: exact, the quota shared out once, overage apart."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admission.accounts.shapes import Limits, Overrides, Tenant, Tier
from control_plane.admission.usage.billing import Terms, charge, terms_of
from control_plane.admission.usage.lines import (
    MonthLine,
    UsageLine,
    comma_separated,
    month_line,
    ndjson,
    usage_line,
)
from control_plane.admission.usage.tallies import Spot, Tally


def tier(**limits: Any) -> Tier:
    whole = Limits(requests=1, burst=1, concurrency=1, **limits)
    return Tier(name="pro", limits=whole, unit_price=100, overage_unit_price=150, revision=7)


def terms(included: int | None) -> Terms:
    return terms_of(Tenant(id="acme", tier="pro"), tier(month_units=included, overage="bill"))


@given(
    included=st.none() | st.integers(0, 10**15),
    parts=st.lists(st.integers(0, 10**12), max_size=20),
)
def test_the_quota_is_shared_out_once(included: int | None, parts: list[int]) -> None:
    agreed, spent = terms(included), 0
    charges = []
    for units in parts:
        charges.append(charge(agreed, units, spent))
        spent += units
    within = spent if included is None else min(spent, included)
    assert sum(one.included_units for one in charges) == within
    assert sum(one.overage_units for one in charges) == spent - within
    assert sum(one.amount_micros or 0 for one in charges) == within * 100
    assert sum(one.overage_amount_micros or 0 for one in charges) == (spent - within) * 150
    for one, units in zip(charges, parts, strict=True):
        assert one.included_units + one.overage_units == units
        assert one.included_units == 0 or one is charges[0] or charges[0].overage_units == 0


@pytest.mark.parametrize(
    ("units", "spent", "within", "beyond"),
    [(5, 0, 5, 0), (10, 0, 10, 0), (11, 0, 10, 1), (5, 8, 2, 3), (5, 10, 0, 5), (5, 12, 0, 5)],
)
def test_the_boundary(units: int, spent: int, within: int, beyond: int) -> None:
    found = charge(terms(10), units, spent)
    assert (found.included_units, found.overage_units) == (within, beyond)
    assert (found.amount_micros, found.overage_amount_micros) == (within * 100, beyond * 150)


def test_what_is_blocked_is_no_overage() -> None:
    blocked = terms_of(Tenant(id="acme", tier="pro"), tier(month_units=10, overage="block"))
    assert charge(blocked, 12, 5).overage_units == 0
    assert charge(blocked, 12, 5).amount_micros == 1200


def test_a_tenants_own_quota_counts() -> None:
    own = Tenant(id="acme", tier="pro", overrides=Overrides(month_units=3))
    assert charge(terms_of(own, tier(month_units=10, overage="bill")), 5, 0).overage_units == 2
    uncapped = Tenant(id="acme", tier="pro", overrides=Overrides(month_units=None))
    agreed = terms_of(uncapped, tier(month_units=10, overage="bill"))
    assert charge(agreed, 50, 0).overage_units == 0


def test_without_the_tier_there_is_no_amount() -> None:
    unknown = terms_of(Tenant(id="acme", tier="gone"), None)
    found = charge(unknown, 5, 0)
    assert found.included_units == 5
    assert (found.amount_micros, found.overage_amount_micros) == (None, None)
    line = usage_line("acme", unknown, Spot(0), Tally(units=5), 0)
    assert (line.tier, line.tier_revision, line.currency) == ("gone", None, "")


NOVEMBER = 1_793_491_200


def lines() -> list[UsageLine]:
    spot = Spot(NOVEMBER, "k:aaaaaaaaaaaa", "wine", "v1.0.0")
    tally = Tally(requests=3, errors=1, units=12, compute_us=4567)
    return [usage_line("acme", terms(10), spot, tally, 5)]


def test_csv_is_rfc_4180() -> None:
    text = comma_separated(lines(), UsageLine, header=True)
    assert text.endswith(b"\r\n")
    header, row = csv.reader(io.StringIO(text.decode(), newline=""))
    assert dict(zip(header, row, strict=True)) == {
        "tenant": "acme", "hour": "2026-11-01T00:00:00Z", "client": "k:aaaaaaaaaaaa",
        "model": "wine", "version": "v1.0.0", "requests": "3", "errors": "1", "units": "12",
        "compute_ms": "4.567", "included_units": "5", "overage_units": "7",
        "amount_micros": "500", "overage_amount_micros": "1050", "currency": "EUR",
        "tier": "pro", "tier_revision": "7",
    }  # fmt: skip
    assert comma_separated(lines(), UsageLine, header=False) == text.partition(b"\r\n")[2]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(sign: str) -> None:
    line = usage_line("acme", terms(10), Spot(0, f'{sign}cmd|"x",\n'), Tally(), 0)
    (row,) = csv.reader(
        io.StringIO(comma_separated([line], UsageLine, header=False).decode(), newline="")
    )
    assert row[2] == f'\'{sign}cmd|"x",\n'


def test_ndjson_has_an_object_a_line() -> None:
    month = month_line("acme", terms(10), NOVEMBER, Tally(units=12))
    text = ndjson([*lines(), month])
    first, second = map(json.loads, text.splitlines())
    assert (first["hour"], first["overage_units"]) == ("2026-11-01T00:00:00Z", 7)
    assert (second["month"], second["overage_units"]) == ("2026-11", 2)
    assert second.keys() == set(MonthLine.__struct_fields__)


def test_sums_are_exact_however_large() -> None:
    found = charge(terms_of(Tenant(id="a", tier="pro"), tier()), 10**15, 0)
    assert found.amount_micros == 10**17
