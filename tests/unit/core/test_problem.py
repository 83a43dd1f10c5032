"""Errors as bytes: one envelope, the same as RFC 9457, and the ids that go with both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest

from control_plane import problem as rendering
from control_plane.error_codes import CATALOGUE
from control_plane.errors import (
    Fault,
    InvalidInput,
    MalformedRequest,
    Overloaded,
    TidegateError,
)
from control_plane.telemetry.exchange import Exchange


def exchange(client: str | None = None) -> Exchange:
    return Exchange("req_1", client, "POST", 0.0)


def body(error: TidegateError, *, problem: bool = False) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(
        rendering.error_body(error, exchange(), problem=problem)
    )
    return decoded


def test_an_error_is_one_envelope() -> None:
    error = body(TidegateError("Gone", code="NOT_FOUND", details={"a": 1}))["error"]
    stamp = error.pop("timestamp")
    assert datetime.fromisoformat(stamp).utcoffset() is not None
    assert stamp.endswith("Z")
    assert error == {
        "code": "NOT_FOUND",
        "message": "Gone",
        "details": {"a": 1},
        "request_id": "req_1",
    }


def test_one_fault_is_the_details() -> None:
    error = body(InvalidInput([Fault("text", "is odd", "/inputs/text", received_length=9)]))[
        "error"
    ]
    assert error["details"] == {
        "field": "text", "issue": "is odd", "path": "/inputs/text", "received_length": 9
    }  # fmt: skip
    assert "errors" not in error


def test_of_several_faults_the_first_is_the_details_and_all_are_listed() -> None:
    faults = [Fault("a", "is odd", "/inputs/a"), Fault("b", "is odd", "/inputs/b")]
    error = body(InvalidInput(faults))["error"]
    assert error["details"]["field"] == "a"
    assert [fault["field"] for fault in error["errors"]] == ["a", "b"]


@pytest.mark.parametrize("value", [0, False, 0.0, ""])
def test_a_received_value_is_shown_even_if_it_is_nothing(value: Any) -> None:
    error = body(InvalidInput([Fault("a", "is odd", "/inputs/a", received=value)]))["error"]
    assert error["details"]["received"] == value


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_the_same_error_as_rfc_9457(code: str) -> None:
    error = TidegateError("Said", code=code, details={"a": 1})
    problem = body(error, problem=True)
    assert problem.pop("timestamp")
    assert problem == {
        "type": f"urn:tidegate:error:{code.lower().replace('_', '-')}",
        "title": CATALOGUE[code].summary,
        "status": CATALOGUE[code].status,
        "detail": "Said",
        "instance": "urn:tidegate:request:req_1",
        "code": code,
        "details": {"a": 1},
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    "error", [MalformedRequest("x"), Overloaded("x"), TidegateError("x")], ids=lambda e: e.code
)
def test_details_are_there_even_if_there_are_none(error: TidegateError) -> None:
    assert body(error)["error"]["details"] == {}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (b"", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"application/problem+json", True),
        (b"application/json, application/problem+json;q=0.9", True),
        (b"Application/Problem+JSON", True),
    ],
)
def test_rfc_9457_is_sent_to_who_asks_for_it(accept: bytes, *, wanted: bool) -> None:
    assert rendering.wants_problem(accept) is wanted


def test_the_ids_are_sent_back() -> None:
    assert rendering.exchange_headers(exchange()) == [(b"x-request-id", b"req_1")]
    assert rendering.exchange_headers(exchange("mine")) == [
        (b"x-request-id", b"req_1"),
        (b"x-client-request-id", b"mine"),
    ]
