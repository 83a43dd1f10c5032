"""Who calls, at the public door: credentials, what they open, and what each request costs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from control_plane.admission.identity import apikeys
from control_plane.api.front import TRUSTED_S
from tests.integration import wire
from tests.stack import REPOSITORY, Customer, Door, Gateway, Stack, until

V1 = {"model_version": "v1", "inputs": {"text": "lovely"}}
PREDICT = "/api/v1/predict"
RATE = {
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy",
    "ratelimit",
}  # fmt: skip
QUOTA = {"x-quota-limit", "x-quota-remaining", "x-quota-reset"}
GUARDED = (PREDICT, "/api/v1/models", "/openapi.json")
OPEN = ("/healthz", "/ready", "/docs", "/docs/assets/start.js")


def predict(gateway: Gateway, headers: dict[str, str], body: Any = V1) -> httpx.Response:
    return gateway.anonymous.post(PREDICT, json=body, headers=headers)


def visit(gateway: Gateway, path: str, headers: dict[str, str]) -> httpx.Response:
    """The first request of a kind that a path takes."""
    if path == PREDICT:
        return predict(gateway, headers)
    return gateway.anonymous.get(path, headers=headers)


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()["error"]
    assert found["code"] == code
    return found


def remaining(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining"])


@pytest.fixture(scope="module")
def wine(stack: Stack) -> Customer:
    """Who may use the wine model alone."""
    return stack.customer("predict:wine")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_is_sent_as_bearer_or_by_its_own_header(stack: Stack, scheme: str) -> None:
    key = stack.customer().key
    assert predict(stack, {"authorization": f"{scheme} {key}"}).status_code == 200
    assert predict(stack, {"x-api-key": key}).status_code == 200


@pytest.mark.parametrize("path", GUARDED)
def test_two_credentials_are_refused(stack: Stack, path: str) -> None:
    key = stack.customer().key
    answer = visit(stack, path, {"authorization": f"Bearer {key}", "x-api-key": key})
    assert error(answer, 400, "INVALID_PARAMETER")["details"]["parameter"] == "X-API-Key"


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_a_credential_that_stands_twice_is_refused(stack: Stack, name: str) -> None:
    key = stack.customer().key
    value = f"Bearer {key}" if name == "authorization" else key
    answer = stack.anonymous.get("/api/v1/models", headers=[(name, value), (name, value)])
    error(answer, 400, "INVALID_PARAMETER")


def wrong(key: str) -> dict[str, dict[str, str]]:
    """Credentials that are none, by what is wrong with them."""
    mistyped = key[:-1] + ("a" if key[-1] != "a" else "b")
    unknown, _ = apikeys.mint()
    forged, _ = apikeys.mint(key.split("_")[2])
    return {
        "mistyped": {"authorization": f"Bearer {mistyped}"},
        "unknown": {"x-api-key": unknown},
        "another secret": {"authorization": f"Bearer {forged}"},
        "empty": {"authorization": ""},
        "no scheme": {"authorization": key},
        "basic": {"authorization": "Basic dXNlcjpwYXNz"},
        "token of nobody": {"authorization": "Bearer e30.e30.e30"},
        "oversized": {"authorization": f"Bearer {'a' * 9000}"},
    }


@pytest.mark.parametrize("name", wrong("tg_live_abcdefghij27_0"))
def test_a_credential_that_is_none_is_401_and_says_how_to_authenticate(
    stack: Stack, name: str
) -> None:
    headers = wrong(stack.customer().key)[name] | stack.elsewhere()
    for path in GUARDED:
        answer = visit(stack, path, headers)
        error(answer, 401, "UNAUTHENTICATED")
        challenge = answer.headers["www-authenticate"]
        assert challenge == 'Bearer realm="tidegate", error="invalid_token"'


def test_whatever_is_wrong_with_a_key_it_gets_the_same_answer(stack: Stack) -> None:
    told = set()
    for name in ("mistyped", "unknown", "another secret"):
        headers = wrong(stack.customer().key)[name] | stack.elsewhere()
        told.add(error(predict(stack, headers), 401, "UNAUTHENTICATED")["message"])
    assert len(told) == 1


def test_without_a_key_models_for_anybody_answer_and_others_ask_for_one(
    stack: Stack, lab: Gateway
) -> None:
    assert predict(stack, stack.elsewhere()).status_code == 200
    answer = lab.anonymous.post(
        "/api/v1/models/picky/predict", json={"inputs": {"text": "x"}}, headers=lab.elsewhere()
    )
    error(answer, 401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tidegate"'


def test_bad_credentials_that_keep_coming_are_slowed_down_and_neighbours_are_not(
    stack: Stack,
) -> None:
    key, here = stack.customer(), stack.elsewhere()
    bad = wrong(key.key)["mistyped"] | here

    def slowed() -> bool:
        return predict(stack, bad).status_code == 429

    assert until(slowed, 30)
    answer = predict(stack, bad)
    error(answer, 429, "TEMPORARILY_BLOCKED")
    assert int(answer.headers["retry-after"]) >= 1
    assert predict(stack, key.headers | here).status_code == 200
    assert predict(stack, here).status_code == 200


def test_a_key_opens_only_what_its_scopes_name(stack: Stack, wine: Customer) -> None:
    details = error(predict(stack, wine.headers), 403, "FORBIDDEN")["details"]
    assert details == {"scope": "predict:sentiment"}


def test_the_models_are_those_that_the_caller_may_use(stack: Stack, wine: Customer) -> None:
    listed = visit(stack, "/api/v1/models", wine.headers).json()
    assert [model["name"] for model in listed["models"]] == ["wine"]
    assert listed["default_model"] is None
    for page in ("", "/versions", "/schema"):
        assert visit(stack, f"/api/v1/models/wine{page}", wine.headers).status_code == 200
        answer = visit(stack, f"/api/v1/models/sentiment{page}", wine.headers)
        assert error(answer, 404, "MODEL_NOT_FOUND")["details"] == {"models": ["wine"]}


def test_what_may_not_be_known_is_answered_as_what_is_not_there(
    stack: Stack, wine: Customer
) -> None:
    answers = []
    for name in ("sentiment", "sentimenu"):
        found = error(visit(stack, f"/api/v1/models/{name}", wine.headers), 404, "MODEL_NOT_FOUND")
        answers.append((found["message"].replace(name, "?"), found["details"]))
    assert answers[0] == answers[1]


def test_the_document_describes_what_the_caller_may_use(stack: Stack, wine: Customer) -> None:
    document = visit(stack, "/openapi.json", wine.headers)
    paths = document.json()["paths"]
    assert "/api/v1/models/wine/predict" in paths
    assert "sentiment" not in document.text
    assert PREDICT not in paths
    whole = stack.client.get("/openapi.json").json()["components"]["schemas"]
    anybodys = visit(stack, "/openapi.json", stack.elsewhere()).json()["components"]["schemas"]
    needing_a_key = {name for name in whole if name.startswith("speech.")}
    assert needing_a_key
    assert anybodys == {name: whole[name] for name in whole.keys() - needing_a_key}


def test_nobody_is_shown_models_that_need_a_key(lab: Gateway) -> None:
    here = lab.elsewhere()
    assert visit(lab, "/api/v1/models", here).json()["models"] == []
    assert "picky" not in visit(lab, "/openapi.json", here).text
    error(visit(lab, "/api/v1/models/picky", here), 404, "MODEL_NOT_FOUND")


@pytest.fixture(scope="module")
def mixed(stack: Stack, door: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The sentiment model, of which v1 is for anybody and v2 for those with a key."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("sentiment_linear", "sentiment_minilm"):
        contract = (REPOSITORY / name / "1" / "contract.yaml").read_text()
        assert "anonymous: true" in contract
        path = folder / name / "1" / "contract.yaml"
        path.parent.mkdir(parents=True)
        secret = "anonymous: true" if name == "sentiment_linear" else "anonymous: false"
        path.write_text(contract.replace("anonymous: true", secret))
    urls = stack.endpoints["triton_grpc"]
    with door(triton_urls=urls, model_repository=str(folder), wait="/ready") as started:
        yield started


def test_of_a_model_anybody_sees_the_versions_for_anybody(mixed: Gateway) -> None:
    here = mixed.elsewhere()
    listed = visit(mixed, "/api/v1/models/sentiment/versions", here).json()["versions"]
    assert [each["version"] for each in listed] == ["v1.0.0"]
    schema = "/api/v1/models/sentiment/schema"
    assert visit(mixed, f"{schema}?version=v1", here).status_code == 200
    for selector in ("?version=v2", "?version=stable", ""):
        details = error(visit(mixed, schema + selector, here), 404, "MODEL_VERSION_NOT_FOUND")[
            "details"
        ]
        assert details == {"versions": ["v1.0.0"]}
    assert "sentiment.v2.3.1" not in visit(mixed, "/openapi.json", here).text
    assert mixed.client.get(f"{schema}?version=v2").status_code == 200
    assert predict(mixed, here).status_code == 200
    newer = predict(mixed, here, {"model_version": "v2", "inputs": {"text": "x"}})
    error(newer, 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_the_page_are_open_and_cost_nothing(stack: Stack, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer nonsense"}):
        answer = stack.anonymous.get(path, headers=headers)
        assert answer.status_code == 200
        assert not RATE & answer.headers.keys()


SMALL = {"requests": 1, "window_s": 3600, "burst": 8, "concurrency": 8}
REFUSED: dict[str, dict[str, Any]] = {
    "invalid input": {"json": {"inputs": {}}},
    "no JSON": {"content": b"{", "headers": {"content-type": "application/json"}},
    "no such model": {"json": {"model": "nose", "inputs": {}}},
    "no such parameter": {"json": V1, "params": {"x": "1"}},
    "no such type": {"content": b"x"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_refused_for_what_it_is_costs_one_and_shows_what_is_left(
    stack: Stack, name: str
) -> None:
    customer, sent = stack.customer(**SMALL), REFUSED[name]
    headers = customer.headers | sent.get("headers", {})
    left = []
    for _ in range(3):
        answer = stack.anonymous.post(PREDICT, **{**sent, "headers": headers})
        assert 400 <= answer.status_code < 500
        assert answer.headers.keys() >= RATE
        left.append(remaining(answer))
    assert left == [7, 6, 5]
    assert remaining(predict(stack, customer.headers)) == 4


def test_a_wrong_method_costs_one_too(stack: Stack) -> None:
    customer = stack.customer(**SMALL)
    for method, left in (("HEAD", 7), ("GET", 6), ("DELETE", 5)):
        answer = stack.anonymous.request(method, PREDICT, headers=customer.headers)
        assert (answer.status_code, remaining(answer)) == (405, left)


def test_reading_costs_one_request_and_no_units(stack: Stack) -> None:
    customer = stack.customer(**SMALL, month_units=10)
    for path in ("/api/v1/models", "/api/v1/models/wine", "/openapi.json"):
        get = stack.anonymous.get(path, headers=customer.headers)
        head = stack.anonymous.head(path, headers=customer.headers)
        assert (get.status_code, head.status_code) == (200, 200)
        assert remaining(get) - remaining(head) == 1
        assert get.headers["x-quota-remaining"] == head.headers["x-quota-remaining"] == "10"
    assert remaining(head) == 2


def test_the_headers_of_a_standing_agree_with_each_other(stack: Stack) -> None:
    customer = stack.customer(**SMALL, month_units=10)
    answer = predict(stack, customer.headers)
    assert answer.headers.keys() >= RATE | QUOTA
    assert answer.headers["x-ratelimit-limit"] == "8"
    assert answer.headers["ratelimit-policy"] == '"burst";q=8;w=28800'
    state = re.fullmatch(r'"burst";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert state is not None
    assert (int(state[1]), remaining(answer)) == (7, 7)
    assert 3590 <= int(state[2]) <= 3600
    assert (answer.headers["x-quota-limit"], answer.headers["x-quota-remaining"]) == ("10", "9")


def test_beyond_the_burst_it_is_told_when_to_come_back(stack: Stack) -> None:
    customer = stack.customer(requests=1, window_s=3600, burst=2, concurrency=2)
    assert [predict(stack, customer.headers).status_code for _ in range(2)] == [200, 200]
    answer = predict(stack, customer.headers)
    details = error(answer, 429, "RATE_LIMITED")["details"]
    assert (details["limit"], details["window_s"], details["burst"]) == (1, 3600, 2)
    assert answer.headers.keys() >= RATE
    assert remaining(answer) == 0
    wait = int(answer.headers["retry-after"])
    assert wait == details["retry_after_s"]
    assert 3590 <= wait <= 3600
    for path in GUARDED[1:]:
        error(visit(stack, path, customer.headers), 429, "RATE_LIMITED")
    error(predict(stack, customer.headers, {"inputs": {}}), 429, "RATE_LIMITED")


def test_a_quota_counts_answers_and_nothing_else(stack: Stack) -> None:
    customer = stack.customer(month_units=2, overage="block")
    error(predict(stack, customer.headers, {"inputs": {}}), 422, "INVALID_INPUT")
    assert predict(stack, customer.headers).headers["x-quota-remaining"] == "1"
    error(predict(stack, customer.headers, {"inputs": {}}), 422, "INVALID_INPUT")
    assert predict(stack, customer.headers).headers["x-quota-remaining"] == "0"
    answer = predict(stack, customer.headers)
    details = error(answer, 429, "QUOTA_EXCEEDED")["details"]
    assert (details["quota"], details["limit"]) == ("month", 2)
    assert answer.headers["x-quota-remaining"] == "0"
    assert visit(stack, "/api/v1/models", customer.headers).status_code == 200


def test_a_body_may_be_as_large_as_the_tier_allows(stack: Stack) -> None:
    customer = stack.customer(max_body_bytes=1024)
    fits = predict(stack, customer.headers, {"model_version": "v1", "inputs": {"text": "a" * 900}})
    assert fits.status_code == 200
    larger = predict(stack, customer.headers, {"inputs": {"text": "a" * 1100}})
    details = error(larger, 413, "PAYLOAD_TOO_LARGE")["details"]
    assert details == {"limit_bytes": 1024}


def test_who_keeps_sending_errors_is_blocked_ever_longer_and_others_of_the_tenant_are_not(
    stack: Stack,
) -> None:
    customer = stack.customer()
    other = {"authorization": f"Bearer {stack.new_key(customer.tenant)}"}
    waits: set[int] = set()

    def offend() -> bool:
        answer = predict(stack, customer.headers, {"inputs": {}})
        if answer.status_code == 429:
            error(answer, 429, "TEMPORARILY_BLOCKED")
            waits.add(int(answer.headers["retry-after"]))
        return max(waits, default=0) >= 2

    assert until(offend, 60)
    assert predict(stack, other).status_code == 200


def test_a_revoked_key_is_refused_within_a_second(stack: Stack) -> None:
    customer = stack.customer()
    assert predict(stack, customer.headers).status_code == 200
    assert stack.operators.delete(f"/keys/{customer.key_id}").status_code == 200
    here = stack.elsewhere()
    assert until(lambda: predict(stack, customer.headers | here).status_code == 401, 1.0)


def test_a_suspended_tenant_is_forbidden(stack: Stack) -> None:
    customer = stack.customer()
    assert predict(stack, customer.headers).status_code == 200
    changed = stack.operators.patch(f"/tenants/{customer.tenant}", json={"suspended": True})
    assert changed.status_code == 200
    assert until(lambda: predict(stack, customer.headers).status_code == 403, 1.0)
    details = error(predict(stack, customer.headers), 403, "FORBIDDEN")["details"]
    assert details == {"reason": "suspended"}


@pytest.mark.parametrize("path", [*GUARDED, "/api/v1/usage", "/api/v1/nothing"])
def test_an_operators_key_opens_nothing(stack: Stack, path: str) -> None:
    answer = visit(stack, path, {"authorization": f"Bearer {stack.admin_key}"})
    assert error(answer, 403, "FORBIDDEN")["details"] == {"reason": "operators"}
    assert not RATE & answer.headers.keys()


@pytest.mark.parametrize(
    "path",
    ["//api/v1/models", "//openapi.json", "///api/v1/usage", "/api//v1/models", "/api/v1/models//",
     "/%2Fapi/v1/models", "//healthz", "//api/v1/predict"],
)  # fmt: skip
def test_a_path_with_an_empty_segment_is_404_and_counts(stack: Stack, path: str) -> None:
    customer = stack.customer()
    answer = stack.anonymous.get(stack.http + path, headers=customer.headers)
    error(answer, 404, "NOT_FOUND")
    assert remaining(answer) < int(answer.headers["x-ratelimit-limit"])
    nobody = stack.anonymous.get(stack.http + path, headers=stack.elsewhere())
    error(nobody, 404, "NOT_FOUND")


def test_a_key_that_is_revoked_while_its_body_comes_is_refused(stack: Stack) -> None:
    customer, here = stack.customer(), stack.elsewhere()
    body = json.dumps(V1).encode()
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nX-API-Key: {customer.key}\r\n"
        f"X-Forwarded-For: {here['x-forwarded-for']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with wire.connect(stack) as connection:
        connection.sendall(head.encode())
        assert b" 100 " in connection.recv(4096)
        started = time.monotonic()
        assert stack.operators.delete(f"/keys/{customer.key_id}").status_code == 200
        assert until(lambda: predict(stack, customer.headers | here).status_code == 401, 30)
        assert until(lambda: time.monotonic() > started + TRUSTED_S, 30)
        connection.sendall(body)
        assert b" 401 " in connection.recv(4096)
