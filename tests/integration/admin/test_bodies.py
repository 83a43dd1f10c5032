"""Bodies that are not what the API takes: an error that says where and why."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.admin.conftest import Door, MintKey
from tests.stack import until

LIMITS = {"requests": 100, "burst": 10, "concurrency": 5}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "field", "pointer"),
    [
        ({"name": "t"}, "limits", "/limits"),
        ({"name": "t", "limits": {}}, "limits.requests", "/limits/requests"),
        ({"name": "t", "limits": {**LIMITS, "burst": "x"}}, "limits.burst", "/limits/burst"),
        ({"name": "t", "limits": {**LIMITS, "burst": 0}}, "limits.burst", "/limits/burst"),
        ({"name": "t", "limits": {**LIMITS, "burst": 1.5}}, "limits.burst", "/limits/burst"),
        ({"name": "t", "limits": {**LIMITS, "burst": True}}, "limits.burst", "/limits/burst"),
        ({"name": "t", "limits": {**LIMITS, "burst": 10**30}}, "limits.burst", "/limits/burst"),
        ({"name": "t", "limits": {**LIMITS, "day_units": -1}}, "limits.day_units",
         "/limits/day_units"),
        ({"name": "t", "limits": {**LIMITS, "a/b": 1}}, "limits.a/b", "/limits/a~1b"),
        ({"name": "t", "limits": LIMITS, "revision": 9}, "revision", "/revision"),
        ({"name": "T", "limits": LIMITS}, "name", "/name"),
        ({"name": "t", "limits": LIMITS, "currency": "euro"}, "currency", "/currency"),
        ({"name": "t", "limits": LIMITS, "title": "x" * 201}, "title", "/title"),
        ([], "", ""),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(
    root: httpx.Client, body: Any, field: str, pointer: str
) -> None:
    answer = root.post("/tiers", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "INVALID_INPUT")
    assert (error["details"]["field"], error["details"]["path"]) == (field, pointer)
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"limits": {"burst": None}}, "limits.burst"),
        ({"limits": None}, "limits"),
        ({"limits": 5}, "limits"),
        ({"name": "other"}, "name"),
        (5, ""),
    ],
)
def test_a_patch_must_leave_a_tier(root: httpx.Client, tier: str, patch: Any, field: str) -> None:
    answer = root.patch(f"/tiers/{tier}", json=patch)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == field
    assert root.get(f"/tiers/{tier}").json()["revision"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{]", b'{"a":1}x', b'"\xff"', b'{"a":\x00}', b"[" * 60_000]
)
def test_what_is_no_json_is_400(root: httpx.Client, body: bytes) -> None:
    answer = root.post("/tenants", content=body, headers=JSON)
    assert answer.json()["error"]["code"] == "MALFORMED_REQUEST"
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"id": "a\n", "tier": "pro"}, "id"),
        ({"id": "a", "tier": "pro\n"}, "tier"),
        ({"id": "a", "tier": "pro", "title": "two\nlines"}, "title"),
    ],
)
def test_a_control_character_is_refused(root: httpx.Client, body: Any, field: str) -> None:
    answer = root.post("/tenants", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == field


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_beyond_64_kib_is_413(root: httpx.Client, *, is_chunked: bool) -> None:
    body = b" " * 65_537
    answer = root.post("/tenants", content=iter([body]) if is_chunked else body, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["error"]["details"] == {"limit_bytes": 65_536}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_what_is_not_declared_as_json_is_415(root: httpx.Client, headers: dict[str, str]) -> None:
    answer = root.post("/tenants", content=b"{}", headers=headers)
    assert answer.json()["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", "application/merge-patch+json"]
)
def test_what_is_declared_as_json_is_taken(root: httpx.Client, tenant: str, kind: str) -> None:
    answer = root.patch(f"/tenants/{tenant}", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 200


def test_errors_come_as_rfc_9457_if_asked_for(root: httpx.Client) -> None:
    answer = root.get("/tiers/none", headers={"accept": "application/problem+json"})
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["code"] == "NOT_FOUND"


def test_other_methods_are_405_and_other_paths_404(root: httpx.Client) -> None:
    refused = root.put("/tiers")
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "OPTIONS", "POST"}
    assert root.get("/nothing").json()["error"]["code"] == "NOT_FOUND"


def test_head_is_answered_like_get(root: httpx.Client, tenant: str) -> None:
    answer = root.head(f"/tenants/{tenant}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("is_narrowed", [False, True])
def test_a_key_counts_as_it_is_when_the_body_has_come(
    door: Door, root: httpx.Client, new_key: MintKey, *, is_narrowed: bool
) -> None:
    made, name, here = new_key("operators", "admin:*"), door.name(), door.elsewhere()
    body = json.dumps({"id": name, "tier": "pro"}).encode()
    path = f"/keys/{made['record']['id']}"
    head = (
        f"POST /admin/v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {made['key']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Forwarded-For: {here['x-forwarded-for']}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    address = urlsplit(door.url)
    with (
        door.client(made["key"]) as client,
        socket.create_connection((str(address.hostname), int(address.port or 0)), 30) as opened,
    ):
        opened.sendall(head.encode())
        assert b" 100 " in opened.recv(4096)
        if is_narrowed:
            root.patch(path, json={"scopes": ["admin:tiers"]})
        else:
            root.delete(path)
        refusal = 403 if is_narrowed else 401
        assert until(lambda: client.get("/tenants", headers=here).status_code == refusal, 30)
        opened.sendall(body)
        assert f" {refusal} ".encode() in opened.recv(4096)
    assert root.get(f"/tenants/{name}").status_code == 404


def test_no_key_is_in_the_log(door: Door, root: httpx.Client, tenant: str) -> None:
    made = root.post(f"/tenants/{tenant}/keys", json={"name": "payload-of-a-test"}).json()
    with door.client(made["key"]) as client:
        client.get("/tiers")
    written = door.log.read_text()
    for secret in (made["key"], door.root_key, "payload-of-a-test"):
        assert secret.rpartition("_")[2] not in written
