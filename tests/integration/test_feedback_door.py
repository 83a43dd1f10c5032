"""The truth about a prediction, from the customer that got it, through the public door."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.stack import Customer, Stack, until

TEXT = {"text": "The room was lovely"}


def given(stack: Stack, customer: Customer, **body: Any) -> httpx.Response:
    return stack.anonymous.post("/api/v1/feedback", json=body, headers=customer.headers)


def kept(stack: Stack, customer: Customer) -> Any:
    """A prediction on which feedback is taken."""
    answer = stack.anonymous.post(
        "/api/v1/models/sentiment/predict", json={"inputs": TEXT}, headers=customer.headers
    )
    predicted = answer.json()
    for _ in range(100):
        if given(stack, customer, request_id=predicted["request_id"], score=1).is_success:
            return predicted
        time.sleep(0.1)
    raise AssertionError("the prediction is not kept")


def accuracy(stack: Stack, customer: Customer, version: str) -> Any:
    shown = stack.anonymous.get("/api/v1/models/sentiment", headers=customer.headers).json()
    found = next(each for each in shown["versions"] if each["version"] == version)
    return found["accuracy"]


def test_feedback_is_taken_replaced_and_shown_as_accuracy(stack: Stack) -> None:
    customer = stack.customer("predict:sentiment")
    predicted = kept(stack, customer)
    before = accuracy(stack, customer, predicted["model_version"])
    wrong = next(label for label in ("negative", "positive") if label != predicted["prediction"])
    answer = given(stack, customer, request_id=predicted["request_id"], label=wrong).json()
    assert answer["replaced"] is True
    assert answer["correct"] is False
    assert answer["model_version"] == predicted["model_version"]

    def fell() -> bool:
        now = accuracy(stack, customer, predicted["model_version"])
        return bool(now["n"] == before["n"] and now["value"] < before["value"])

    assert until(fell, 10)


def test_a_label_that_the_model_does_not_have_is_refused(stack: Stack) -> None:
    customer = stack.customer("predict:sentiment")
    predicted = kept(stack, customer)
    refused = given(stack, customer, request_id=predicted["request_id"], label="glorious")
    assert refused.status_code == 422
    assert refused.json()["error"]["details"]["allowed"] == ["negative", "neutral", "positive"]


def test_feedback_on_what_was_not_kept_is_held_against_nobody(stack: Stack) -> None:
    customer = stack.customer("predict:sentiment")
    for number in range(40):
        answer = given(stack, customer, request_id=f"req_{number:032x}", score=1)
        assert answer.status_code == 404, answer.text
    answer = stack.anonymous.post(
        "/api/v1/models/sentiment/predict", json={"inputs": TEXT}, headers=customer.headers
    )
    assert answer.status_code == 200


def test_callers_without_a_tenant_give_no_feedback(stack: Stack) -> None:
    answer = stack.anonymous.post(
        "/api/v1/feedback", json={"request_id": "req_" + "0" * 32, "score": 1},
        headers=stack.elsewhere(),
    )  # fmt: skip
    assert answer.status_code == 401
