"""Tenants, tiers and keys: made, listed, shown, changed, deleted."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest

from tests.integration.admin.conftest import Door, MintKey

LIMITS = {"requests": 100, "burst": 10, "concurrency": 5}


def error(answer: httpx.Response) -> tuple[int, str, dict[str, Any]]:
    """Status, code and details of an error."""
    told = answer.json()["error"]
    return answer.status_code, told["code"], told["details"]


def everything(client: httpx.Client, path: str, limit: int) -> list[str]:
    """Ids of all items, page by page."""
    found: list[str] = []
    query: dict[str, str | int] = {"limit": limit}
    while True:
        page = client.get(path, params=query).json()
        assert len(page["items"]) <= limit
        found += [item.get("id") or item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def test_the_standard_tiers_are_there_at_first(root: httpx.Client) -> None:
    tiers = {tier["name"] for tier in root.get("/tiers?limit=200").json()["items"]}
    assert {"anonymous", "free", "pro", "enterprise", "internal"} <= tiers


def test_a_tenant_from_its_making_to_its_end(door: Door, root: httpx.Client) -> None:
    name = door.name()
    body = {"id": name, "tier": "free", "title": "A", "overrides": {"burst": 3}}
    made = root.post("/tenants", json=body)
    assert made.status_code == 201
    assert made.headers["location"] == f"/admin/v1/tenants/{name}"
    assert made.headers["etag"] == '"1"'
    assert made.headers["cache-control"] == "no-store"
    assert made.json().items() >= {**body, "suspended": False, "revision": 1}.items()
    assert root.get(f"/tenants/{name}").json() == made.json()

    patched = root.patch(f"/tenants/{name}", json={"tier": "pro", "title": None})
    assert patched.headers["etag"] == '"2"'
    expected = {"tier": "pro", "title": "", "overrides": {"burst": 3}, "revision": 2}
    assert patched.json().items() >= expected.items()

    assert root.delete(f"/tenants/{name}").status_code == 204
    assert error(root.get(f"/tenants/{name}"))[:2] == (404, "NOT_FOUND")


def test_a_change_that_changes_nothing_leaves_no_trace(root: httpx.Client, tenant: str) -> None:
    assert root.patch(f"/tenants/{tenant}", json={"tier": "pro"}).json()["revision"] == 1


def test_the_id_of_a_deleted_tenant_is_not_used_again(root: httpx.Client, tenant: str) -> None:
    root.delete(f"/tenants/{tenant}")
    again = root.post("/tenants", json={"id": tenant, "tier": "pro"})
    assert error(again) == (409, "ALREADY_EXISTS", {"closed": True})


def test_an_id_is_used_once(root: httpx.Client, tenant: str, tier: str) -> None:
    again = root.post("/tenants", json={"id": tenant, "tier": "pro"})
    assert error(again) == (409, "ALREADY_EXISTS", {"revision": 1})
    again = root.post("/tiers", json={"name": tier, "limits": LIMITS})
    assert error(again) == (409, "ALREADY_EXISTS", {"revision": 1})
    assert root.post("/tenants", json={"id": "operators", "tier": "pro"}).status_code == 409


def test_a_tenant_has_a_tier_that_exists(door: Door, root: httpx.Client, tenant: str) -> None:
    fault = {"field": "tier", "issue": "there is no such tier", "path": "/tier", "received": "no"}
    made = root.post("/tenants", json={"id": door.name(), "tier": "no"})
    assert error(made) == (422, "INVALID_INPUT", fault)
    moved = root.patch(f"/tenants/{tenant}", json={"tier": "no"})
    assert error(moved) == (422, "INVALID_INPUT", fault)


def test_overrides_tell_no_cap_from_the_tiers(root: httpx.Client, tenant: str) -> None:
    path = f"/tenants/{tenant}/overrides"
    put = root.put(path, json={"month_units": None, "burst": 7})
    assert put.json()["overrides"] == {"month_units": None, "burst": 7}
    assert root.put(path, json={"burst": 8}).json()["overrides"] == {"burst": 8}
    assert root.delete(path).json()["overrides"] == {}
    assert root.get(f"/tenants/{tenant}").json()["revision"] == 4


def test_a_tier_from_its_making_to_its_end(root: httpx.Client, tier: str) -> None:
    path = f"/tiers/{tier}"
    patched = root.patch(path, json={"limits": {"burst": 9, "month_units": None}, "unit_price": 5})
    limits = patched.json()["limits"]
    assert (limits["burst"], limits["month_units"], limits["requests"]) == (9, None, 10)
    assert patched.json()["unit_price"] == 5
    assert root.delete(path).status_code == 204
    assert root.get(path).status_code == 404


def test_a_tier_in_use_is_not_deleted(door: Door, root: httpx.Client, tier: str) -> None:
    names = [door.name(), door.name()]
    for name in names:
        root.post("/tenants", json={"id": name, "tier": tier})
    assert error(root.delete(f"/tiers/{tier}")) == (409, "REVISION_CONFLICT", {"tenants": 2})
    root.patch(f"/tenants/{names[0]}", json={"tier": "pro"})
    assert error(root.delete(f"/tiers/{tier}")) == (409, "REVISION_CONFLICT", {"tenants": 1})
    root.delete(f"/tenants/{names[1]}")
    assert root.delete(f"/tiers/{tier}").status_code == 204


def test_the_tier_of_callers_without_a_key_stays(root: httpx.Client) -> None:
    assert error(root.delete("/tiers/anonymous"))[:2] == (409, "REVISION_CONFLICT")


def test_a_key_is_shown_once(root: httpx.Client, tenant: str) -> None:
    soon = int(time.time()) + 3600
    body = {"name": "n", "scopes": ["predict:wine-*", "jobs"], "networks": ["10.0.0.0/8"],
            "expires_at": soon}  # fmt: skip
    made = root.post(f"/tenants/{tenant}/keys", json=body)
    assert made.status_code == 201
    text, record = made.json()["key"], made.json()["record"]
    assert text.startswith(f"tg_live_{record['id']}_")
    assert made.headers["location"] == f"/admin/v1/keys/{record['id']}"
    assert record.items() >= {**body, "tenant": tenant, "state": "active"}.items()
    shown = root.get(f"/keys/{record['id']}")
    assert shown.json() == {**record, "last_used_at": None}
    assert "digest" not in made.text
    assert text not in shown.text + root.get(f"/tenants/{tenant}/keys").text


def test_a_key_is_changed_rotated_and_revoked(
    root: httpx.Client, tenant: str, new_key: MintKey
) -> None:
    made = new_key(tenant, "predict")
    path = f"/keys/{made['record']['id']}"
    patched = root.patch(path, json={"name": "x", "scopes": ["jobs"]}).json()
    assert (patched["name"], patched["scopes"]) == ("x", ["jobs"])
    assert root.patch(path, json={"scopes": None}).json()["scopes"] == ["predict"]

    rotated = root.post(f"{path}/rotate", json={"overlap_s": 600}).json()
    assert rotated["key"] != made["key"]
    assert rotated["record"]["id"] == made["record"]["id"]
    assert rotated["record"]["overlap_until"] > time.time()
    at_once = root.post(f"{path}/rotate", json={"overlap_s": 0}).json()
    assert at_once["record"]["overlap_until"] is None

    revoked = root.delete(path).json()
    assert revoked["state"] == "revoked"
    assert root.delete(path).json() == revoked
    for refused in (root.patch(path, json={"name": "y"}), root.post(f"{path}/rotate", json={})):
        assert error(refused)[:2] == (409, "REVISION_CONFLICT")
    assert [key["state"] for key in root.get(f"/tenants/{tenant}/keys").json()["items"]] == [
        "revoked"
    ]


def test_an_old_secret_opens_while_a_rotation_overlaps(door: Door, new_key: MintKey) -> None:
    made = new_key("operators", "admin:keys", "admin:tiers:read")
    with door.client(made["key"]) as old:
        path = f"/keys/{made['record']['id']}/rotate"
        rotated = old.post(path, json={"overlap_s": 600}).json()
        with door.client(rotated["key"]) as young:
            assert young.get("/tiers").status_code == 200
            assert old.get("/tiers").status_code == 200
            latest = young.post(path, json={"overlap_s": 0}).json()
            with door.client(latest["key"]) as last:
                assert last.get("/tiers").status_code == 200
        assert old.get("/tiers").status_code == 401


def test_keys_go_with_their_tenant(root: httpx.Client, tenant: str, new_key: MintKey) -> None:
    ids = [new_key(tenant, "predict")["record"]["id"] for _ in range(3)]
    assert root.delete(f"/tenants/{tenant}").status_code == 204
    assert [root.get(f"/keys/{key}").status_code for key in ids] == [404] * 3
    assert root.get(f"/tenants/{tenant}/keys").status_code == 404
    assert root.post(f"/tenants/{tenant}/keys", json={}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["admin"]}, "scopes[0]"),
        ({"scopes": ["predict", "admin:keys"]}, "scopes[1]"),
        ({"scopes": ["fly"]}, "scopes[0]"),
        ({"scopes": []}, "scopes"),
        ({"networks": ["10.0.0.0/8", "10.0.0.1/8"]}, "networks[1]"),
        ({"networks": ["300.0.0.0/8"]}, "networks[0]"),
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": 10**12}, "expires_at"),
    ],
)
def test_rights_that_make_no_sense_are_refused(
    root: httpx.Client, tenant: str, body: dict[str, Any], field: str
) -> None:
    status, code, details = error(root.post(f"/tenants/{tenant}/keys", json=body))
    assert (status, code, details["field"]) == (422, "INVALID_INPUT", field)


def test_operators_keys_take_scopes_of_admin_only(root: httpx.Client) -> None:
    answer = root.post("/tenants/operators/keys", json={"scopes": ["predict"]})
    assert error(answer)[:2] == (422, "INVALID_INPUT")


@pytest.mark.parametrize("kind", ["tenants", "tiers"])
def test_if_match_guards_a_change(root: httpx.Client, tenant: str, tier: str, kind: str) -> None:
    path = f"/{kind}/{tenant if kind == 'tenants' else tier}"
    first = root.patch(path, json={"title": "1"}, headers={"if-match": '"1"'})
    assert first.headers["etag"] == '"2"'
    for method in ("PATCH", "DELETE"):
        late = root.request(method, path, json={"title": "2"}, headers={"if-match": '"1"'})
        facts = {"expected_revision": 1, "revision": 2}
        assert error(late) == (409, "REVISION_CONFLICT", facts)
    assert root.patch(path, json={"title": "3"}, headers={"if-match": "*"}).status_code == 200
    assert root.delete(path, headers={"if-match": '"3"'}).status_code == 204


@pytest.mark.parametrize("tag", ['W/"1"', "1", '"x"', '"1", "2"', '""', '"0"'])
def test_if_match_that_is_no_etag_is_refused(root: httpx.Client, tenant: str, tag: str) -> None:
    answer = root.patch(f"/tenants/{tenant}", json={"title": "x"}, headers={"if-match": tag})
    assert error(answer)[:2] == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_pages_hold_every_item_once(
    root: httpx.Client, tenant: str, new_key: MintKey, limit: int
) -> None:
    ids = sorted(new_key(tenant, "predict")["record"]["id"] for _ in range(7))
    assert everything(root, f"/tenants/{tenant}/keys", limit) == ids


def test_pages_stand_while_others_insert(door: Door, root: httpx.Client) -> None:
    before = {door.name() for _ in range(30)}
    for name in before:
        root.post("/tenants", json={"id": name, "tier": "free"})
    stop = threading.Event()

    def insert() -> None:
        with door.client(door.root_key) as client:
            while not stop.is_set():
                client.post("/tenants", json={"id": door.name(), "tier": "free"})

    writers = [threading.Thread(target=insert) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        lists = [everything(root, "/tenants", 7) for _ in range(5)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    for found in lists:
        assert found == sorted(set(found))
        assert before <= set(found)


@pytest.mark.parametrize("path", ["/tenants", "/tiers", "/audit", "/tenants/operators/keys"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=", "cursor"),
        ("cursor=%C3%A4", "cursor"),
        ("cursor=Li4vLi4", "cursor"),
        ("page=2", "page"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    root: httpx.Client, path: str, query: str, parameter: str
) -> None:
    status, code, details = error(root.get(f"{path}?{query}"))
    assert (status, code, details["parameter"]) == (400, "INVALID_PARAMETER", parameter)


@pytest.mark.parametrize("path", ["/tenants/UPPER", "/tiers/a%7Db", "/keys/short", "/tenants/%00"])
def test_what_cannot_be_an_id_is_not_found(root: httpx.Client, path: str) -> None:
    assert error(root.get(path))[:2] == (404, "NOT_FOUND")
