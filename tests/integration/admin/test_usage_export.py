"""The export: every row once, amounts that add up, tenants that are gone included."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis
import redis.asyncio as aredis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits, Tenant, Tier
from control_plane.admission.accounts.store import Store
from control_plane.admission.usage.customers import Customers
from control_plane.admission.usage.export import UsageExport
from control_plane.admission.usage.lines import MonthLine, UsageLine
from control_plane.admission.usage.period import Period
from control_plane.admission.usage.reading import Usage
from control_plane.errors import TidegateError
from control_plane.records.transaction import SYSTEM
from tests.integration.admin.conftest import Door, MintKey
from tests.integration.admission.conftest import shell_lines

BEGIN = datetime(2024, 2, 20, tzinfo=UTC)
FEBRUARY = Period(int(datetime(2024, 2, 1, tzinfo=UTC).timestamp()),
                  int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()))  # fmt: skip
BOTH = Period(FEBRUARY.start, FEBRUARY.end + 31 * 86_400)
QUOTA = 1000


def fields(hour: datetime, client: str, units: int) -> tuple[str, dict[str, int]]:
    """The day and the fields of a row."""
    row = f"{hour:%H}|{client}|wine|v1.0.0|"
    return f"{hour:%Y%m%d}", {row + "u": units, row + "r": 2, row + "e": 1, row + "c": 1500}


@pytest.fixture
async def store(records: aredis.Redis) -> Store:
    store = Store(records)
    limits = Limits(requests=1, burst=1, concurrency=1, month_units=QUOTA, overage="bill")
    for name in ("billed", "left"):
        tier = Tier(name=name, limits=limits, unit_price=100, overage_unit_price=150)
        await store.create_tier(tier, SYSTEM)
    return store


async def use(records: aredis.Redis, tenant: str, hours: int = 480, seed: int = 1) -> int:
    """Random usage of 20 days around the end of February; its units."""
    chance = random.Random(seed)
    whole = 0
    for _ in range(40):
        units = chance.randrange(200)
        hour = BEGIN + timedelta(hours=chance.randrange(hours))
        day, row = fields(hour, f"k:{chance.randrange(3)}", units)
        key = layout.usage(f"t:{tenant}", day)
        for field, amount in row.items():
            await records.hincrby(key, field, amount)
        whole += units
    return whole


def export(records: aredis.Redis) -> UsageExport:
    return UsageExport(Customers(records), Usage(records))


async def lines(
    found: UsageExport, period: Period, limit: int, tenant: str | None = None
) -> list[UsageLine]:
    items: list[UsageLine] = []
    after = None
    while True:
        page = await found.hours(period, tenant, after, limit)
        assert await found.hours(period, tenant, after, limit) == page
        items += page.items
        if page.next is None:
            return items
        assert len(page.items) <= limit
        after = page.next


async def months(found: UsageExport, limit: int) -> list[MonthLine]:
    items: list[MonthLine] = []
    after = None
    while True:
        page = await found.months(BOTH, None, after, limit)
        items += page.items
        if page.next is None:
            return items
        after = page.next


async def test_every_row_comes_once_and_adds_up(records: aredis.Redis, store: Store) -> None:
    names = ["a", "a-b", "a_b", "ab", "b0", "zz"]
    whole = {}
    for seed, name in enumerate(names):
        await store.create_tenant(Tenant(id=name, tier="billed"), SYSTEM)
        whole[name] = await use(records, name, seed=seed)
    found = export(records)
    expected = await lines(found, BOTH, 10_000)
    for limit in (1, 7, 40):
        assert await lines(found, BOTH, limit) == expected
    order = [(line.tenant, line.hour, line.client) for line in expected]
    assert order == sorted(set(order))
    for name in names:
        own = [line for line in expected if line.tenant == name]
        assert own == await lines(found, BOTH, 9, name)
        assert sum(line.units for line in own) == whole[name]
        for month in ("2024-02", "2024-03"):
            part = [line for line in own if line.hour.startswith(month)]
            units = sum(line.units for line in part)
            assert sum(line.included_units for line in part) == min(units, QUOTA)
            assert sum(line.overage_units for line in part) == max(0, units - QUOTA)
    assert any(line.overage_units for line in expected)
    assert all(line.tier_revision == 1 and line.currency == "EUR" for line in expected)


async def test_months_are_the_sums_of_hours(records: aredis.Redis, store: Store) -> None:
    for seed, name in enumerate(("a", "b", "c")):
        await store.create_tenant(Tenant(id=name, tier="billed"), SYSTEM)
        await use(records, name, seed=seed)
    found = export(records)
    hours = await lines(found, BOTH, 10_000)
    expected = await months(found, 10_000)
    for limit in (1, 2, 5):
        assert await months(found, limit) == expected
    assert [(line.tenant, line.month) for line in expected] == [
        (name, month) for name in "abc" for month in ("2024-02", "2024-03")
    ]
    summed = ("requests", "errors", "units", "included_units", "overage_units", "amount_micros",
              "overage_amount_micros", "compute_ms")  # fmt: skip
    for line in expected:
        own = [hour for hour in hours if hour.tenant == line.tenant and hour.hour[:7] == line.month]
        for name in summed:
            assert getattr(line, name) == sum(getattr(hour, name) for hour in own), name


async def test_a_period_within_a_month_counts_what_was_before(
    records: aredis.Redis, store: Store
) -> None:
    await store.create_tenant(Tenant(id="a", tier="billed"), SYSTEM)
    await use(records, "a", hours=200)
    found = export(records)
    whole = await lines(found, BOTH, 10_000)
    for days in (21, 24, 26):
        start = FEBRUARY.start + days * 86_400
        part = await lines(found, Period(start, BOTH.end), 5)
        moment = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert part == [line for line in whole if line.hour >= moment]
        assert part


async def test_those_that_are_gone_are_in_it(records: aredis.Redis, store: Store) -> None:
    names = [f"t{number:03}" for number in range(430)]
    for name in names:
        await store.create_tenant(Tenant(id=name, tier="billed"), SYSTEM)
        day, row = fields(BEGIN, "k:a", 5)
        await records.hset(layout.usage(f"t:{name}", day), mapping=row)
    for name in ("t000", "t199", "t200", "t201", "t429"):
        await store.delete_tenant(name, SYSTEM)
    for name in ("t010", "t399"):
        await store.change_tenant(
            name, lambda before: Tenant(id=before.id, tier="left", revision=before.revision), SYSTEM
        )
        await store.delete_tenant(name, SYSTEM)
    await store.delete_tier("left", SYSTEM)
    found = export(records)
    expected = await lines(found, BOTH, 10_000)
    assert [line.tenant for line in expected] == names
    assert await lines(found, BOTH, 150) == expected
    unknown = {line.tenant: line for line in expected if line.amount_micros is None}
    assert unknown.keys() == {"t010", "t399"}
    assert all((line.tier, line.tier_revision) == ("left", None) for line in unknown.values())
    assert (await Customers(records).get("t010")).is_closed
    with pytest.raises(TidegateError, match="no such resource"):
        await found.hours(BOTH, "t430", None, 5)


async def test_a_page_looks_at_a_bounded_number_of_tenants(
    records: aredis.Redis, store: Store
) -> None:
    pipe = records.pipeline(transaction=False)
    for number in range(1203):
        name = f"t{number:04}"
        kept = json.dumps({"id": name, "tier": "billed"})
        pipe.set(layout.tenant_record(name), kept)
        pipe.zadd(layout.TENANTS, {name: 0})
    day, row = fields(BEGIN, "k:a", 5)
    pipe.hset(layout.usage("t:t1202", day), mapping=row)
    await pipe.execute()
    found = export(records)
    first = await found.hours(BOTH, None, None, 10)
    assert first.items == []
    assert first.next is not None
    assert [line.tenant for line in await lines(found, BOTH, 10)] == ["t1202"]


async def test_a_tenant_deleted_between_pages_comes_once(
    records: aredis.Redis, store: Store
) -> None:
    for name in ("a", "b", "c"):
        await store.create_tenant(Tenant(id=name, tier="billed"), SYSTEM)
        await use(records, name)
    found = export(records)
    expected = await lines(found, BOTH, 10_000)
    items: list[UsageLine] = []
    after = None
    doomed = ["c", "a", "b"]
    while True:
        page = await found.hours(BOTH, None, after, 15)
        items += page.items
        if page.next is None:
            break
        after = page.next
        if doomed:
            await store.delete_tenant(doomed.pop(), SYSTEM)
    assert items == expected


@pytest.fixture
def used(door: Door, tenant: str) -> str:
    """A tenant with three rows in February 2024."""
    with redis.Redis.from_url(door.records_url) as server:
        for hours, client in ((0, "k:a"), (0, "k:b"), (30, "k:a")):
            day, row = fields(BEGIN + timedelta(hours=hours), client, 10 + hours)
            server.hset(layout.usage(f"t:{tenant}", day), mapping=row)
    return tenant


def test_the_commands_of_the_page_work(door: Door, used: str) -> None:
    environment = {
        **os.environ,
        "TIDEGATE_ADMIN_URL": door.url,
        "TIDEGATE_ADMIN_KEY": door.root_key,
    }
    lines = shell_lines("usage.md", "tidegate ") + shell_lines("usage.md", "TIDEGATE_ADMIN_KEY")
    assert len(lines) == 6
    for line in lines:
        program, rest = line.replace("acme", used).split(" ", 1)
        if program == "tidegate":
            command = f"{shlex.quote(sys.executable)} -m control_plane {rest}"
        else:
            command = f"{program} {rest}"
        done = subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, check=False, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


FEB = {"from": "2024-02", "to": "2024-03"}


def test_the_formats_say_the_same(root: httpx.Client, used: str) -> None:
    query = {**FEB, "tenant": used}
    answer = root.get("/usage", params=query)
    items = answer.json()["items"]
    assert [(item["hour"], item["client"], item["units"]) for item in items] == [
        ("2024-02-20T00:00:00Z", "k:a", 10), ("2024-02-20T00:00:00Z", "k:b", 10),
        ("2024-02-21T06:00:00Z", "k:a", 40),
    ]  # fmt: skip
    assert (items[0]["tier"], items[0]["amount_micros"], items[0]["compute_ms"]) == (
        "pro",
        1000,
        1.5,
    )
    assert answer.headers["cache-control"] == "no-store"

    told = root.get("/usage", params={**query, "format": "ndjson"})
    assert told.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in told.text.splitlines()] == items

    text, after = "", {}
    while True:
        told = root.get("/usage", params={**query, "format": "csv", "limit": 2, **after})
        assert told.headers["content-type"].startswith("text/csv; charset=utf-8; header=")
        text += told.text
        if "x-next-cursor" not in told.headers:
            break
        after = {"cursor": told.headers["x-next-cursor"]}
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert found == [{name: str(value) for name, value in item.items()} for item in items]


def test_months_and_standing(root: httpx.Client, used: str) -> None:
    page = root.get("/usage/months", params={**FEB, "tenant": used}).json()
    (month,) = page["items"]
    assert (month["month"], month["units"], month["amount_micros"]) == ("2024-02", 60, 6000)
    standing = root.get(f"/tenants/{used}/usage").json()
    assert (standing["tenant"], standing["state"], standing["month"]) == (used, "open", None)
    assert standing["quota"]["month"]["limit"] == 5_000_000
    assert standing["quota"]["day"]["limit"] is None
    assert root.delete(f"/tenants/{used}").status_code == 204
    assert root.get(f"/tenants/{used}/usage").json()["state"] == "closed"
    assert root.get("/usage/months", params={**FEB, "tenant": used}).json() == page


@pytest.mark.parametrize("path", ["/usage", "/usage/months"])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("from", "yesterday"), ("to", "2024-02"), ("to", "2026-01"), ("format", "xml"),
        ("limit", "0"), ("limit", "10001"), ("limit", "x"), ("cursor", "x"), ("colour", "red"),
        ("start", "2024-02"), ("form", "csv"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(
    root: httpx.Client, path: str, parameter: str, value: str
) -> None:
    answer = root.get(path, params={**FEB, parameter: value})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "INVALID_PARAMETER"
    assert error["details"]["parameter"] == (
        "from" if (parameter, value) == ("to", "2026-01") else parameter
    )


def test_months_are_whole_ones(root: httpx.Client) -> None:
    answer = root.get("/usage/months", params={"from": "2024-02-02", "to": "2024-03"})
    assert answer.json()["error"]["details"]["parameter"] == "from"


def test_a_cursor_is_of_its_tenant(root: httpx.Client, used: str, door: Door) -> None:
    page = root.get("/usage", params={**FEB, "tenant": used, "limit": 1}).json()
    other = door.name()
    root.post("/tenants", json={"id": other, "tier": "pro"})
    query: dict[str, Any] = {**FEB, "tenant": other, "cursor": page["next_cursor"]}
    assert root.get("/usage", params=query).json()["error"]["details"]["parameter"] == "cursor"
    assert root.get("/usage", params={**FEB, "tenant": "nobody"}).status_code == 404
    assert root.get("/tenants/nobody/usage").status_code == 404


def test_a_key_shows_when_it_was_used(
    door: Door, root: httpx.Client, tenant: str, new_key: MintKey
) -> None:
    key = new_key(tenant, "predict")["record"]["id"]
    assert root.get(f"/keys/{key}").json()["last_used_at"] is None
    with redis.Redis.from_url(door.records_url) as server:
        server.hset(layout.state(f"t:{tenant}"), f"l:k:{key}", 1_700_000_000)
    assert root.get(f"/keys/{key}").json()["last_used_at"] == 1_700_000_000
    (listed,) = root.get(f"/tenants/{tenant}/keys").json()["items"]
    assert listed["last_used_at"] == 1_700_000_000
    operators = new_key("operators", "admin:audit:read")["record"]
    assert "last_used_at" not in root.get(f"/keys/{operators['id']}").json()
