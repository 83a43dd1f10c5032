"""The audit log: every change in it, nothing ever changed of it, no secret in it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx
import pytest
import redis

from control_plane.records import places
from control_plane.records.pages import cursor
from tests.integration.admin.conftest import Door, MintKey

Entry = dict[str, Any]


def entries(client: httpx.Client, **query: str | int) -> list[Entry]:
    """All entries of a filter, in pages of three."""
    found: list[Entry] = []
    while True:
        page = client.get("/audit", params={"limit": 3, **query}).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def test_every_change_of_a_tenant_is_told(root: httpx.Client, tenant: str) -> None:
    steps = [
        ("tenant.patch", root.patch(f"/tenants/{tenant}", json={"title": "x"})),
        ("tenant.override", root.put(f"/tenants/{tenant}/overrides", json={"month_units": None})),
        ("tenant.delete", root.delete(f"/tenants/{tenant}")),
    ]
    told = entries(root, target=f"tenant:{tenant}", order="asc")
    assert [entry["action"] for entry in told] == ["tenant.create", *(name for name, _ in steps)]
    for (_, answer), entry in zip(steps, told[1:], strict=True):
        assert entry["request_id"] == answer.headers["x-request-id"]
        assert entry["who"] == "k:bootstrap"
        assert abs(entry["at"] / 1000 - time.time()) < 3600
    assert told[0]["before"] is None
    assert told[-1]["after"] is None
    for earlier, later in itertools.pairwise(told):
        assert later["before"] == earlier["after"]
    assert told[1]["after"].items() >= {"title": "x", "revision": 2}.items()
    assert told[2]["after"]["overrides"] == {"month_units": None}


def test_every_change_of_a_tier_and_a_key_is_told(
    root: httpx.Client, tenant: str, tier: str, new_key: MintKey
) -> None:
    root.patch(f"/tiers/{tier}", json={"unit_price": 3})
    root.delete(f"/tiers/{tier}")
    told = [entry["action"] for entry in entries(root, target=f"tier:{tier}", order="asc")]
    assert told == ["tier.create", "tier.patch", "tier.delete"]

    key = new_key(tenant, "predict")["record"]["id"]
    root.patch(f"/keys/{key}", json={"name": "n"})
    root.post(f"/keys/{key}/rotate", json={})
    root.delete(f"/keys/{key}")
    root.delete(f"/tenants/{tenant}")
    told = [entry["action"] for entry in entries(root, target=f"key:{key}", order="asc")]
    assert told == ["key.create", "key.patch", "key.rotate", "key.revoke", "key.delete"]


def test_what_is_refused_is_not_told(root: httpx.Client, tenant: str) -> None:
    root.patch(f"/tenants/{tenant}", json={"title": "x"}, headers={"if-match": '"7"'})
    root.patch(f"/tenants/{tenant}", json={"tier": "no"})
    root.post("/tenants", json={"id": tenant, "tier": "pro"})
    assert len(entries(root, target=f"tenant:{tenant}")) == 1


def test_it_says_which_key_did_it(door: Door, root: httpx.Client, new_key: MintKey) -> None:
    made = new_key("operators", "admin:tenants")
    name, who = door.name(), f"k:{made['record']['id']}"
    with door.client(made["key"]) as client:
        client.post("/tenants", json={"id": name, "tier": "pro"})
    assert [entry["target"] for entry in entries(root, who=who)] == [f"tenant:{name}"]


def test_the_latest_come_first_unless_asked(root: httpx.Client, tenant: str) -> None:
    for number in range(7):
        root.patch(f"/tenants/{tenant}", json={"title": str(number)})
    target = f"tenant:{tenant}"
    latest, oldest = entries(root, target=target), entries(root, target=target, order="asc")
    assert latest == oldest[::-1]
    assert [entry["after"]["title"] for entry in oldest] == ["", *"0123456"]
    assert len(entries(root, target=target, action="tenant.patch")) == 7
    assert entries(root, target=target, action="tenant.delete") == []


def test_since_and_until_bound_it(root: httpx.Client, tenant: str) -> None:
    (entry,) = entries(root, target=f"tenant:{tenant}")
    second = entry["at"] // 1000

    def found(**bounds: int) -> int:
        return len(entries(root, target=f"tenant:{tenant}", **bounds))

    assert found(since=second, until=second + 1) == 1
    assert found(since=second + 1) == 0
    assert found(until=second) == 0
    assert found(since=0, until=253_402_300_799) == 1


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=-1", "since"),
        ("since=x", "since"),
        ("until=253402300800", "until"),
        ("order=up", "order"),
        ("target=", "target"),
        (f"who={'x' * 201}", "who"),
        ("cursor=MTIz", "cursor"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    root: httpx.Client, query: str, parameter: str
) -> None:
    answer = root.get(f"/audit?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["parameter"] == parameter


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nobody_writes_it(root: httpx.Client, method: str) -> None:
    assert root.request(method, "/audit", json={}).status_code == 405


def test_entries_stay_as_they_were(door: Door, root: httpx.Client, tenant: str) -> None:
    with redis.Redis.from_url(door.records_url) as server:
        before: Any = server.xrange(places.AUDIT)
        root.patch(f"/tenants/{tenant}", json={"title": "x"})
        root.delete(f"/tenants/{tenant}")
        after: Any = server.xrange(places.AUDIT)
    assert after[: len(before)] == before
    assert len(after) == len(before) + 2


def test_no_secret_is_in_the_records(
    door: Door, root: httpx.Client, tenant: str, new_key: MintKey
) -> None:
    made = new_key(tenant, "predict")
    rotated = root.post(f"/keys/{made['record']['id']}/rotate", json={}).json()
    with redis.Redis.from_url(door.records_url) as server:
        audit = str(server.xrange(places.AUDIT))
        values = audit + str([server.get(key) for key in server.keys("*:key:*")])
    assert "digests" in values
    assert "digests" not in audit
    for text in (made["key"], rotated["key"], door.root_key):
        assert text.rpartition("_")[2] not in values


@pytest.mark.parametrize("query", [{"until": 0}, {"cursor": "MC0w"}, {"until": 0, "order": "asc"}])
def test_nothing_is_before_the_beginning(root: httpx.Client, query: dict[str, str | int]) -> None:
    answer = root.get("/audit", params=query)
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


@pytest.mark.parametrize("entry", ["1-18446744073709551616", "01-0", "1-00", "1"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_cursor_of_no_entry_is_400(root: httpx.Client, entry: str, order: str) -> None:
    answer = root.get("/audit", params={"cursor": cursor(entry), "order": order})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["parameter"] == "cursor"
