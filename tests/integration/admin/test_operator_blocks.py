"""Blocks through the operators' API: put, listed, shown, lifted, and in the audit log."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import redis

from tests.integration.admin.conftest import Door


def put(root: httpx.Client, subject: str, **fields: Any) -> httpx.Response:
    given = {"subject": subject, "level": "soft", "duration_s": 600, "reason": "too much"}
    return root.post("/blocks", json=given | fields)


def test_a_block_from_first_to_last(door: Door, root: httpx.Client) -> None:
    subject, before = f"t:{door.name()}", int(time.time())
    made = put(root, subject, client="k:abcdefghijkl", level="hard")
    assert made.status_code == 201
    block = made.json()
    assert made.headers["location"] == f"/admin/v1/blocks/{block['id']}"
    assert (block["subject"], block["client"], block["level"]) == (
        subject, "k:abcdefghijkl", "hard"
    )  # fmt: skip
    assert (block["rule"], block["reason"], block["evidence"]) == ("operator", "too much", {})
    assert block["by"].startswith("k:")
    assert before <= block["since"] <= time.time()
    assert block["until"] == block["since"] + 600
    assert root.get(f"/blocks/{block['id']}").json() == block
    assert root.get("/blocks", params={"subject": subject}).json()["items"] == [block]
    with redis.Redis.from_url(door.records_url) as server:
        word = server.hget(f"tg:{{{subject}}}:state", "b:k:abcdefghijkl")
        assert word == f"hard;{block['until'] * 1_000_000}".encode()

    assert root.delete(f"/blocks/{block['id']}").status_code == 204
    assert root.get(f"/blocks/{block['id']}").json()["error"]["code"] == "NOT_FOUND"
    assert root.delete(f"/blocks/{block['id']}").status_code == 404
    assert root.get("/blocks", params={"subject": subject}).json()["items"] == []

    target = f"block:{subject}|k:abcdefghijkl"
    entries = root.get("/audit", params={"target": target, "order": "asc"}).json()["items"]
    assert [entry["action"] for entry in entries] == ["block.hard", "block.lift"]
    assert [entry["who"] for entry in entries] == [block["by"]] * 2
    assert entries[0]["request_id"] == made.headers["x-request-id"]
    assert entries[1]["before"]["until"] == block["until"]


def test_an_address_with_a_prefix_has_a_path_of_its_own(root: httpx.Client) -> None:
    made = put(root, "a:2001:db8:1:2::/64").json()
    assert root.get(f"/blocks/{made['id']}").json()["subject"] == "a:2001:db8:1:2::/64"
    assert root.delete(f"/blocks/{made['id']}").status_code == 204


def test_the_list_goes_on_where_it_stopped(door: Door, root: httpx.Client) -> None:
    subject = f"t:{door.name()}"
    clients = [f"k:{number}" for number in range(5)]
    for client in clients:
        assert put(root, subject, client=client).status_code == 201
    found: list[str] = []
    params: dict[str, Any] = {"subject": subject, "limit": 2}
    while True:
        page = root.get("/blocks", params=params).json()
        found += [block["client"] for block in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert found == clients


def test_a_cursor_of_another_subject_leads_nowhere_else(door: Door, root: httpx.Client) -> None:
    first, second = sorted(f"t:{door.name()}" for _ in range(2))
    for subject in (first, second):
        for client in ("k:1", "k:2"):
            put(root, subject, client=client)
    page = root.get("/blocks", params={"subject": first, "limit": 1}).json()
    other = root.get("/blocks", params={"subject": second, "cursor": page["next_cursor"]}).json()
    assert {block["subject"] for block in other["items"]} == {second}


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "acme"},
        {"subject": "t:"},
        {"subject": "a:not an address"},
        {"subject": "t:acme|k:1"},
        {"client": "k:"},
        {"client": "k:one|two"},
        {"level": "medium"},
        {"duration_s": 0},
        {"duration_s": 2_592_001},
        {"reason": ""},
        {"reason": "x" * 201},
        {"rule": "errors"},
    ],
)
def test_what_is_no_block_is_refused(root: httpx.Client, fields: dict[str, Any]) -> None:
    answer = put(root, **({"subject": "t:acme"} | fields))
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize(
    "wanted", ["subject=acme", "subject=", "limit=0", "cursor=x", "level=soft"]
)
def test_what_is_no_list_of_blocks_is_refused(root: httpx.Client, wanted: str) -> None:
    assert root.get(f"/blocks?{wanted}").status_code == 400


@pytest.mark.parametrize("name", ["none", "dDphY21l", "x" * 500])
def test_an_id_that_is_none_is_not_found(root: httpx.Client, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert root.request(method, f"/blocks/{name}").status_code == 404
