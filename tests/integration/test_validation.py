"""Every fault of a request is told at once, with field, issue and what was received."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack import Stack

Faults = list[dict[str, Any]]


def faults(stack: Stack, inputs: Any, model: str = "sentiment", **body: Any) -> Faults:
    answer = stack.model(model, inputs, **body)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == ("INVALID_INPUT", "Input validation failed")
    listed: Faults = error.get("errors", [error["details"]])
    assert error["details"] == listed[0]
    return listed


def by_field(listed: Faults) -> dict[str, dict[str, Any]]:
    return {fault["field"]: fault for fault in listed}


def test_a_text_that_is_too_long(stack: Stack) -> None:
    [fault] = faults(stack, {"text": "x" * 1547})
    assert fault["field"] == "text"
    assert fault["issue"] == "exceeds maximum length of 1000 characters"
    assert fault["received_length"] == 1547
    assert fault["path"] == "/inputs/text"


def test_length_counts_characters_not_bytes(stack: Stack) -> None:
    assert stack.predict({"text": "é" * 1000}, model_version="v1").status_code == 200
    assert faults(stack, {"text": "😀" * 1001})[0]["received_length"] == 1001


def test_every_fault_is_told_at_once(stack: Stack) -> None:
    inputs = {"text": 5, "language": "fr", "confidence_threshold": 2, "colour": "red"}
    found = by_field(faults(stack, inputs, options={"explain": "loudly", "asink": True}))
    assert found.keys() == {
        "text", "language", "confidence_threshold", "colour", "options.explain", "options.asink",
    }  # fmt: skip
    assert found["text"]["received_type"] == "integer"
    assert found["language"]["received"] == "fr"
    assert found["confidence_threshold"]["received"] == 2


def test_a_missing_field_is_named(stack: Stack) -> None:
    assert [fault["field"] for fault in faults(stack, {})] == ["text"]


def test_all_missing_columns_are_named(stack: Stack) -> None:
    listed = faults(stack, {"alcohol": 13.2}, "wine")
    assert len(listed) == 12
    assert "proline" in by_field(listed)


@pytest.mark.parametrize("value", ["13", None, True, [13.2], {"x": 1}])
def test_a_wrong_type_is_named(stack: Stack, value: Any) -> None:
    fault = by_field(faults(stack, {"alcohol": value}, "wine"))["alcohol"]
    kind = {str: "string", bool: "boolean", list: "array", dict: "object"}.get(type(value), "null")
    assert fault["received_type"] == kind


def test_a_misspelt_field_is_refused_with_the_right_one(stack: Stack) -> None:
    found = by_field(faults(stack, {"text": "lovely", "confidence_treshold": 1}))
    assert "confidence_threshold" in found["confidence_treshold"]["issue"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": 1},
        {"inputs": []},
        {"inputs": {"text": "lovely"}, "input": {}},
        {"inputs": {"text": "lovely"}, "model_version": 2},
        {"inputs": {"text": "lovely"}, "model_version": "two words"},
        {"inputs": {"text": "lovely"}, "model": "No Model"},
        {"inputs": {"text": "lovely"}, "options": []},
        {"inputs": {"text": "lovely"}, "options": {"explain": "x"}},
    ],
)
def test_the_rest_of_the_body_is_checked_too(stack: Stack, body: dict[str, Any]) -> None:
    answer = stack.client.post("/api/v1/predict", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["details"]["path"].startswith("/")


def test_at_most_fifty_faults_are_listed(stack: Stack) -> None:
    inputs = {"text": "lovely", **{f"field_{number}": 1 for number in range(200)}}
    assert len(faults(stack, inputs)) == 50


def test_a_long_value_is_not_echoed_in_full(stack: Stack) -> None:
    answer = stack.predict({"text": "lovely", "language": "secret" * 10_000})
    assert answer.status_code == 422
    assert len(answer.content) < 2000


def test_blank_text_is_refused(stack: Stack) -> None:
    for text in ("", " ", "\t\n ", "\u2003"):
        assert faults(stack, {"text": text})[0]["field"] == "text"
