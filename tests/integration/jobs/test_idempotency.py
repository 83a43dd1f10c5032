"""Idempotency-Key, on jobs and on predictions."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from tests.stack import Customer, Door, Gateway, Stack, until

INPUTS = {"text": "The room was lovely"}
SCOPES = ("predict", "jobs")


@pytest.fixture
def customer(stack: Stack) -> Customer:
    """A tenant of its own."""
    return stack.customer(*SCOPES)


def send(
    gateway: Gateway, customer: Customer, key: str, path: str, body: Any, **headers: str
) -> httpx.Response:
    sent = {**customer.headers, "idempotency-key": key, **headers}
    return gateway.anonymous.post(path, json=body, headers=sent)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def used(stack: Stack, customer: Customer) -> int:
    """Units that the tenant has paid this month."""
    shown = stack.anonymous.get("/api/v1/usage", headers=customer.headers).json()
    return int(shown["quota"]["month"]["used"])


def test_a_job_is_made_once(stack: Stack, customer: Customer) -> None:
    body = {"inputs": INPUTS, "start_after_s": 3600}
    first, again = (send(stack, customer, "a", "/api/v1/jobs", body) for _ in range(2))
    assert first.status_code == again.status_code == 202, again.text
    assert first.json()["job_id"] == again.json()["job_id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    items = stack.anonymous.get("/api/v1/jobs", headers=customer.headers).json()["items"]
    assert len(items) == 1
    assert until(lambda: used(stack, customer) == 1, 10)


@pytest.mark.parametrize(
    "change",
    [{"inputs": {"text": "other"}}, {"start_after_s": 7200}, {"model": "sentiment"},
     {"task": "batch", "inputs": [INPUTS]}],
)  # fmt: skip
def test_another_job_under_the_same_key_is_a_conflict(
    stack: Stack, customer: Customer, change: dict[str, Any]
) -> None:
    body = {"inputs": INPUTS, "start_after_s": 3600}
    assert send(stack, customer, "a", "/api/v1/jobs", body).status_code == 202
    other = send(stack, customer, "a", "/api/v1/jobs", {**body, **change})
    assert code(other) == (422, "IDEMPOTENCY_CONFLICT")
    elsewhere = send(stack, customer, "a", "/api/v1/models/sentiment/jobs", body)
    assert code(elsewhere) == (422, "IDEMPOTENCY_CONFLICT")
    later = send(stack, customer, "a", "/api/v1/jobs", body, **{"cancel-after": "60s"})
    assert code(later) == (422, "IDEMPOTENCY_CONFLICT")


def test_a_prediction_is_made_once_and_answered_as_it_was(stack: Stack, customer: Customer) -> None:
    first = send(stack, customer, "a", "/api/v2/predict", {"inputs": INPUTS})
    again = send(stack, customer, "a", "/api/v2/predict", {"inputs": INPUTS})
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    for name in ("content-type", "x-model-version", "server-timing"):
        assert first.headers[name] == again.headers[name]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_a_kept_answer_is_not_for_a_key_that_may_not_use_the_model(
    stack: Stack, customer: Customer
) -> None:
    assert send(stack, customer, "a", "/api/v1/predict", {"inputs": INPUTS}).status_code == 200
    narrow = Customer(customer.tenant, stack.new_key(customer.tenant, "predict:wine"))
    refused = send(stack, narrow, "a", "/api/v1/predict", {"inputs": INPUTS})
    assert code(refused) == (403, "FORBIDDEN")
    assert refused.json()["error"]["details"] == {"scope": "predict:sentiment"}
    colleague = Customer(customer.tenant, stack.new_key(customer.tenant, "predict:sentiment"))
    again = send(stack, colleague, "a", "/api/v1/predict", {"inputs": INPUTS})
    assert again.status_code == 200
    assert "x-ratelimit-remaining" in again.headers
    assert until(lambda: used(stack, customer) == 1, 10)


def test_another_prediction_under_the_same_key_is_a_conflict(
    stack: Stack, customer: Customer
) -> None:
    body = {"inputs": INPUTS}
    assert send(stack, customer, "a", "/api/v1/predict", body).status_code == 200
    for path, sent, headers in [
        ("/api/v1/predict", {"inputs": {"text": "other"}}, {}),
        ("/api/v2/predict", body, {}),
        ("/api/v1/models/sentiment/predict", body, {}),
        ("/api/v1/predict", body, {"x-model-version": "stable"}),
    ]:
        refused = send(stack, customer, "a", path, sent, **headers)
        assert code(refused) == (422, "IDEMPOTENCY_CONFLICT"), path
    assert send(stack, customer, "b", "/api/v2/predict", body).status_code == 200


def test_a_key_is_the_tenants_own(stack: Stack, customer: Customer) -> None:
    other = stack.customer(*SCOPES)
    for each in (customer, other):
        answer = send(stack, each, "a", "/api/v1/predict", {"inputs": INPUTS})
        assert "idempotent-replayed" not in answer.headers
    colleague = Customer(customer.tenant, stack.new_key(customer.tenant, *SCOPES))
    shared = send(stack, colleague, "a", "/api/v1/predict", {"inputs": INPUTS})
    assert shared.headers["idempotent-replayed"] == "true"


def test_an_error_frees_the_key(stack: Stack, customer: Customer) -> None:
    for _ in range(2):
        refused = send(stack, customer, "a", "/api/v1/predict", {"inputs": {"text": 5}})
        assert code(refused) == (422, "INVALID_INPUT")

    def is_free() -> bool:
        answer = send(stack, customer, "a", "/api/v1/predict", {"inputs": INPUTS})
        return answer.status_code == 200

    assert until(is_free, 10)


@pytest.mark.parametrize("key", ["", "a" * 256, "a b"])
@pytest.mark.parametrize("path", ["/api/v1/predict", "/api/v1/jobs"])
def test_a_bad_key_is_refused(stack: Stack, customer: Customer, key: str, path: str) -> None:
    refused = send(stack, customer, key, path, {"inputs": INPUTS})
    assert code(refused) == (400, "INVALID_PARAMETER")


def test_who_has_no_tenant_has_no_key(stack: Stack) -> None:
    refused = stack.anonymous.post(
        "/api/v1/predict", json={"inputs": INPUTS}, headers={"idempotency-key": "a"}
    )
    assert code(refused) == (401, "UNAUTHENTICATED")


def test_of_two_at_once_one_runs_and_the_other_is_told_to_wait(lab: Gateway, stack: Stack) -> None:
    customer = stack.customer(*SCOPES)
    path, body = "/api/v1/models/sleeper/predict", {"inputs": {"ms": 1500, "label": "x"}}
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(send, lab, customer, "a", path, body) for _ in range(4)]
        answers = [call.result() for call in calls]
    ran = [answer for answer in answers if answer.status_code == 200]
    told = [answer for answer in answers if answer.status_code == 409]
    assert (len(ran), len(told)) == (1, 3)
    assert all(code(each) == (409, "IDEMPOTENCY_IN_PROGRESS") for each in told)
    assert all(int(each.headers["retry-after"]) >= 1 for each in told)
    again = send(lab, customer, "a", path, body)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == ran[0].content


def test_a_key_of_a_client_that_goes_is_free_again(lab: Gateway, stack: Stack) -> None:
    customer = stack.customer(*SCOPES)
    path, body = "/api/v1/models/sleeper/predict", {"inputs": {"ms": 2000, "label": "y"}}
    sent = {**customer.headers, "idempotency-key": "a"}
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{lab.http}{path}", json=body, headers=sent, timeout=0.5)
    quick = {"inputs": {"ms": 0, "label": "z"}}
    assert until(lambda: send(lab, customer, "a", path, quick).status_code == 200, 10)


def test_nothing_that_was_sent_or_answered_can_be_read_at_the_server(
    stack: Stack, customer: Customer
) -> None:
    key, text = f"key-{uuid.uuid4().hex}", f"secret-{uuid.uuid4().hex}"
    answer = send(stack, customer, key, "/api/v1/predict", {"inputs": {"text": text}})
    assert answer.status_code == 200
    with redis.Redis.from_url(stack.limits_redis_url) as limits:
        names = list(limits.scan_iter(f"tg:{{t:{customer.tenant}}}:once:*"))
        assert len(names) == 1
        kept = limits.get(names[0])
        assert 0 < limits.pttl(names[0]) <= 86_400_000
    for part in (key, text, "positive", "negative", "prediction"):
        assert part.encode() not in kept
        assert part.encode() not in names[0]


def test_without_the_limits_server_a_key_is_answered_503(door: Door, stack: Stack) -> None:
    customer = stack.customer(*SCOPES)
    path, body = "/api/v1/models/picky/predict", {"inputs": {"text": "x"}}
    with door(limits_redis_url="redis://127.0.0.1:1/0") as alone:
        assert until(
            lambda: alone.anonymous.post(path, json=body, headers=customer.headers).is_success, 30
        )
        assert code(send(alone, customer, "a", path, body)) == (503, "ADMISSION_UNAVAILABLE")
