"""Webhooks at the door: what is taken, what is refused, what is shown."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.stack import Customer, Stack

PATH = "/api/v1/webhooks"
URL = "https://hooks.invalid/path?token=x"


@pytest.fixture
def owner(stack: Stack) -> Customer:
    """A tenant whose key may have jobs."""
    return stack.customer("jobs")


def send(stack: Stack, who: Customer, method: str, path: str = "", **more: Any) -> httpx.Response:
    """A request of a customer's."""
    return stack.anonymous.request(method, PATH + path, headers=who.headers, **more)


def test_an_endpoint_from_its_making_to_its_end(stack: Stack, owner: Customer) -> None:
    made = send(stack, owner, "POST", json={"url": URL, "events": ["job.failed", "job.completed"]})
    assert made.status_code == 201, made.text
    endpoint, secret = made.json()["endpoint"], made.json()["secret"]
    name = endpoint["id"]
    assert made.headers["location"] == f"{PATH}/{name}"
    assert (endpoint["url"], endpoint["events"]) == (URL, ["job.completed", "job.failed"])
    assert (endpoint["enabled"], endpoint["gone"], endpoint["revision"]) == (True, False, 1)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret["secret"])
    assert secret["previous_until"] is None
    assert send(stack, owner, "GET").json() == {"items": [endpoint], "next_cursor": None}
    assert send(stack, owner, "GET", f"/{name}").json() == endpoint
    assert send(stack, owner, "GET", f"/{name}/secret").json() == secret

    patch = {"events": None, "enabled": False, "description": "ours"}
    changed = send(stack, owner, "PATCH", f"/{name}", json=patch).json()
    assert (changed["url"], changed["events"], changed["enabled"]) == (URL, None, False)
    assert (changed["description"], changed["revision"]) == ("ours", 2)
    assert send(stack, owner, "PATCH", f"/{name}", json={}).json() == changed

    rotated = send(stack, owner, "POST", f"/{name}/secret/rotate", json={}).json()
    assert rotated["secret"] != secret["secret"]
    assert rotated["previous_until"] is not None
    at_once = send(stack, owner, "POST", f"/{name}/secret/rotate", json={"overlap_s": 0}).json()
    assert at_once["previous_until"] is None

    assert send(stack, owner, "DELETE", f"/{name}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/secret")):
        assert send(stack, owner, method, f"/{name}{path}").status_code == 404
    audit = stack.operators.get("/audit", params={"target": f"webhook:{name}"}).json()
    assert {entry["who"] for entry in audit["items"]} == {f"k:{owner.key_id}"}
    assert "hooks.invalid/path" not in str(audit)


def test_the_default_secret_and_an_empty_list_of_deliveries(stack: Stack, owner: Customer) -> None:
    secret = send(stack, owner, "GET", "/secret").json()
    assert send(stack, owner, "GET", "/secret").json() == secret
    rotated = send(stack, owner, "POST", "/secret/rotate", json={"overlap_s": 60}).json()
    assert rotated["secret"] != secret["secret"]
    listed = send(stack, owner, "GET", "/deliveries", params={"status": "failed"})
    assert listed.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "INVALID_INPUT"),
        ({"url": ""}, "INVALID_INPUT"),
        ({"url": URL, "events": []}, "INVALID_INPUT"),
        ({"url": URL, "events": ["job.started"]}, "INVALID_INPUT"),
        ({"url": URL, "secret": "whsec_x"}, "INVALID_INPUT"),
        ({"url": URL, "description": "x" * 201}, "INVALID_INPUT"),
        ({"url": "http://8.8.8.8/"}, "ADDRESS_REFUSED"),
        ({"url": "https://127.0.0.1/"}, "ADDRESS_REFUSED"),
        ({"url": "https://localhost/"}, "ADDRESS_REFUSED"),
        ({"url": "https://user@example.com/"}, "ADDRESS_REFUSED"),
    ],
)
def test_what_is_no_receiver_is_refused(stack: Stack, body: dict[str, Any], code: str) -> None:
    answer = send(stack, stack.customer("jobs"), "POST", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("?cursor=x", "cursor"),
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("/deliveries?status=lost", "status"),
        ("/deliveries?endpoint=x", "endpoint"),
        ("/deliveries?cursor=x", "cursor"),
        ("/deliveries?limit=x", "limit"),
        ("/deliveries?more=x", "more"),
    ],
)
def test_parameters_out_of_their_range_are_refused(stack: Stack, path: str, parameter: str) -> None:
    answer = send(stack, stack.customer("jobs"), "GET", path)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["parameter"] == parameter


def test_webhooks_are_for_keys_that_may_have_all_jobs(stack: Stack) -> None:
    for scope in ("predict", "jobs:wine"):
        answer = send(stack, stack.customer(scope), "GET")
        assert answer.status_code == 403
        assert answer.json()["error"]["details"] == {"scope": "jobs"}
    assert stack.anonymous.get(PATH, headers=stack.elsewhere()).status_code == 401


def test_a_tenant_has_no_more_endpoints_than_it_may(stack: Stack, owner: Customer) -> None:
    answers = [send(stack, owner, "POST", json={"url": URL}) for _ in range(17)]
    assert [answer.status_code for answer in answers] == [201] * 16 + [429]
    assert answers[-1].json()["error"]["code"] == "TOO_MANY_OPEN"
    assert answers[-1].json()["error"]["details"] == {"limit": 16}
    assert "retry-after" in answers[-1].headers
    listed = send(stack, owner, "GET", params={"limit": 10}).json()
    rest = send(stack, owner, "GET", params={"cursor": listed["next_cursor"]}).json()
    assert len({each["id"] for each in (*listed["items"], *rest["items"])}) == 16
