"""The catalogue of errors: closed, complete, and with the statuses that clients were promised."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import control_plane
from control_plane import errors
from control_plane.error_codes import CATALOGUE
from control_plane.errors import (
    AdmissionUnavailable,
    DeadlineExceeded,
    Fault,
    InvalidInput,
    InvalidParameter,
    ModelUnavailable,
    NotAvailable,
    Overloaded,
    TidegateError,
    Unauthenticated,
)

PACKAGE = Path(control_plane.__file__).parent
PROMISED = {
    "MALFORMED_REQUEST": 400,
    "INVALID_PARAMETER": 400,
    "VERSION_CONFLICT": 400,
    "MODEL_CONFLICT": 400,
    "MODEL_REQUIRED": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "MODEL_NOT_FOUND": 404,
    "MODEL_VERSION_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "ALREADY_EXISTS": 409,
    "REVISION_CONFLICT": 409,
    "LIFE_CONFLICT": 409,
    "CONTRACT_BREAKING": 409,
    "VERSION_NOT_READY": 409,
    "JOB_ENDED": 409,
    "IDEMPOTENCY_IN_PROGRESS": 409,
    "UPLOAD_CONFLICT": 409,
    "MODEL_VERSION_RETIRED": 410,
    "UPLOAD_EXPIRED": 410,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "HEADERS_TOO_LARGE": 431,
    "INVALID_INPUT": 422,
    "IDEMPOTENCY_CONFLICT": 422,
    "OBJECT_UNUSABLE": 422,
    "ADDRESS_REFUSED": 422,
    "RATE_LIMITED": 429,
    "CONCURRENCY_LIMITED": 429,
    "QUOTA_EXCEEDED": 429,
    "TEMPORARILY_BLOCKED": 429,
    "TOO_MANY_JOBS": 429,
    "TOO_MANY_OPEN": 429,
    "WORKER_LOST": 500,
    "INTERNAL": 500,
    "NOT_AVAILABLE": 501,
    "MODEL_FAILED": 502,
    "OVERLOADED": 503,
    "ADMISSION_UNAVAILABLE": 503,
    "MODEL_UNAVAILABLE": 503,
    "JOBS_UNAVAILABLE": 503,
    "UPLOADS_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, TidegateError)
]


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_the_statuses_are_those_that_were_promised() -> None:
    assert {code: spec.status for code, spec in CATALOGUE.items()} == PROMISED


def test_every_code_comes_with_summary_and_remedy() -> None:
    for spec in CATALOGUE.values():
        assert spec.summary.endswith(".")
        assert spec.remedy.endswith(".")


def test_only_what_may_succeed_later_is_retryable() -> None:
    final = {"NOT_AVAILABLE", "WORKER_LOST"}
    retryable = {code for code, spec in CATALOGUE.items() if spec.retryable}
    assert retryable == {
        code for code, status in PROMISED.items() if status == 429 or status >= 500
    } - final | {"IDEMPOTENCY_IN_PROGRESS"}


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    named = {
        keyword.value.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert named <= CATALOGUE.keys()
    assert {kind.code for kind in CLASSES} <= CATALOGUE.keys()


def test_every_code_of_the_catalogue_is_used() -> None:
    names: set[str] = {"TidegateError"}
    texts: set[str] = set()
    for path, tree in trees():
        if path in {PACKAGE / "errors.py", PACKAGE / "error_codes.py"}:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    for script in PACKAGE.rglob("*.lua"):
        texts |= set(re.findall(r"'([A-Z_]+)'", script.read_text()))
    used = texts | {kind.code for kind in CLASSES if kind.__name__ in names}
    assert CATALOGUE.keys() <= used


def test_every_class_of_error_is_raised_somewhere() -> None:
    names = {
        node.id
        for path, tree in trees()
        if path != PACKAGE / "errors.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
    }
    assert {kind.__name__ for kind in CLASSES} <= names


def test_an_error_knows_its_status_by_its_code() -> None:
    assert TidegateError("x").status == 500
    assert TidegateError("x", code="MODEL_REQUIRED").status == 400
    assert DeadlineExceeded("x").status == 504
    assert NotAvailable("x").status == 501


@pytest.mark.parametrize("kind", [Overloaded, ModelUnavailable, AdmissionUnavailable])
def test_a_503_says_when_to_come_back(kind: type[Overloaded]) -> None:
    assert kind("x", retry_after_s=7).headers == {"retry-after": "7"}


def test_a_401_says_how_to_authenticate_and_names_an_error_only_if_there_was_a_credential() -> None:
    assert Unauthenticated("x").headers == {"www-authenticate": 'Bearer realm="tidegate"'}
    refused = Unauthenticated("x", error="invalid_token")
    assert refused.headers == {"www-authenticate": 'Bearer realm="tidegate", error="invalid_token"'}


def test_a_faulty_parameter_is_shown_back_shortened() -> None:
    details = InvalidParameter("X", "is odd", "a" * 1000).details
    assert details == {"parameter": "X", "issue": "is odd", "received": "a" * 64}


def test_an_invalid_input_keeps_every_fault() -> None:
    faults = [Fault("a", "is odd", "/inputs/a"), Fault("b", "is odd", "/inputs/b")]
    assert InvalidInput(faults).faults == faults


def test_errors_share_no_details() -> None:
    first, second = TidegateError("a"), TidegateError("b")
    first.details["x"] = 1
    first.headers["y"] = "1"
    assert (second.details, second.headers) == ({}, {})
