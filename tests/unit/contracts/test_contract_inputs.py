"""Validation: every fault in words of the field, bounded in number, size and time."""

from __future__ import annotations

import difflib
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.contracts.inputs import MAX_FAULTS, InputSchema, echo, field_name, pointer
from control_plane.errors import Fault, InvalidInput, MalformedRequest

SCHEMA = InputSchema(
    {
        "type": "object",
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]*$"},
            "language": {"enum": ["en", "es"]},
            "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
            "rows": {"type": "array", "maxItems": 2, "items": {"type": "number"}},
            "a/b~c": {"type": "null"},
            "mail": {"type": "string", "format": "email"},
            "free": {},
        },
        "additionalProperties": False,
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def only(inputs: dict[str, Any]) -> Fault:
    (fault,) = SCHEMA.faults({"text": "abc", **inputs})
    return fault


@pytest.mark.parametrize(
    ("inputs", "field", "path", "issue"),
    [
        ({"text": "abcdef"}, "text", "/inputs/text", "exceeds maximum length of 5 characters"),
        ({"text": "a"}, "text", "/inputs/text", "minimum length of 2 characters"),
        ({"text": "AB"}, "text", "/inputs/text", "must match the pattern"),
        ({"text": 5}, "text", "/inputs/text", "must be of type string"),
        ({"language": "fr"}, "language", "/inputs/language", "must be one of en, es"),
        ({"age": -1}, "age", "/inputs/age", "must be at least 0"),
        ({"age": 150}, "age", "/inputs/age", "must be less than 150"),
        ({"age": 1.5}, "age", "/inputs/age", "must be of type integer"),
        ({"rows": [1, "a"]}, "rows[1]", "/inputs/rows/1", "must be of type number"),
        ({"rows": [1, 2, 3]}, "rows", "/inputs/rows", "has more than 2 items"),
        ({"a/b~c": 1}, "a/b~c", "/inputs/a~1b~0c", "must be of type null"),
        ({"mail": "x"}, "mail", "/inputs/mail", "must be a valid email"),
        ({"txet": "x"}, "txet", "/inputs/txet", "is not known here: did you mean text?"),
    ],
)
def test_a_fault_names_field_path_and_issue(
    inputs: dict[str, Any], field: str, path: str, issue: str
) -> None:
    fault = only(inputs)
    assert (fault.field, fault.path) == (field, path)
    assert issue in fault.issue


def test_a_missing_input_is_named() -> None:
    (fault,) = SCHEMA.faults({})
    assert (fault.field, fault.issue) == ("text", "is required and missing")


def test_what_was_received_is_told() -> None:
    assert only({"text": "abcdef"}).received_length == 6
    assert only({"text": None}).received_type == "null"
    assert only({"age": True}).received_type == "boolean"
    assert only({"language": "fr"}).received == "fr"
    assert only({"language": "fr"}).allowed == ["en", "es"]


def test_every_fault_is_told_at_once() -> None:
    faults = SCHEMA.faults({"text": 1, "age": -1, "language": "fr", "other": 1})
    assert {fault.field for fault in faults} == {"text", "age", "language", "other"}


def test_an_unknown_field_of_a_closed_object_within_is_named_by_its_own_path() -> None:
    inner = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    (fault,) = InputSchema({"type": "object", "properties": {"o": inner}}).faults({"o": {"b": 1}})
    assert (fault.field, fault.path) == ("o.b", "/inputs/o/b")


def test_no_more_than_fifty_faults_are_told() -> None:
    rows = InputSchema({"properties": {"rows": {"type": "array", "items": {"type": "number"}}}})
    assert len(rows.faults({"rows": ["a"] * 1000})) == MAX_FAULTS
    assert len(SCHEMA.faults({"text": "abc", **dict.fromkeys(map(str, range(1000)))})) == MAX_FAULTS


def test_unknown_fields_without_number_cost_no_more_than_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guesses = 0

    def guess(*_: Any, **__: Any) -> list[str]:
        nonlocal guesses
        guesses += 1
        return []

    monkeypatch.setattr(difflib, "get_close_matches", guess)
    body = {"text": "abc", **{f"field_{number}": 0 for number in range(5000)}}
    assert len(SCHEMA.faults(body)) == MAX_FAULTS
    assert guesses <= MAX_FAULTS


@pytest.mark.parametrize(
    "inputs", [{"text": "x" * 100_000}, {"x" * 100_000: 1}, {"language": "x" * 100_000}]
)
def test_what_is_shown_back_stays_small(inputs: dict[str, Any]) -> None:
    assert len(msgspec.json.encode(SCHEMA.faults({"text": "abc", **inputs}))) < 2000


def test_a_long_name_within_is_shown_shortened() -> None:
    schema = InputSchema({"properties": {"o": {"additionalProperties": {"type": "number"}}}})
    assert len(msgspec.json.encode(schema.faults({"o": {"k" * 100_000: "a"}}))) < 2000


@pytest.mark.parametrize("depth", [10, 200, 300, 900])
def test_faults_of_a_body_of_any_depth_that_the_decoder_takes_are_told(depth: int) -> None:
    deep: Any = msgspec.json.decode(b"[" * depth + b"]" * depth)
    for inputs in ({"text": deep}, {"text": 5, "free": deep}):
        with suppress(InvalidInput, MalformedRequest):
            assert SCHEMA.accepts(inputs) is False
            assert SCHEMA.faults(inputs)


@given(JSON)
def test_inputs_are_accepted_or_have_faults(inputs: Any) -> None:
    assert SCHEMA.accepts(inputs) is not bool(SCHEMA.faults(inputs))


@given(st.dictionaries(st.sampled_from([*SCHEMA.schema["properties"], "x"]), JSON))
def test_faults_can_always_be_sent(inputs: dict[str, Any]) -> None:
    for fault in SCHEMA.faults(inputs):
        assert fault.issue
        assert msgspec.json.decode(msgspec.json.encode(fault))["path"].startswith("/inputs")


KEYWORDS: list[Any] = [
    False,
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"not": {}},
    {"dependentRequired": {"a": ["b"]}},
    {"uniqueItems": True},
    {"contains": {"type": "string"}},
    {"propertyNames": {"maxLength": 1}},
    {"prefixItems": [{}], "unevaluatedItems": False},
    {"unevaluatedProperties": False},
    {"additionalProperties": False},
    {"const": {"a": [1]}},
    {"enum": [{"a": 1}, [1], None]},
    {"multipleOf": 0.4},
    {"dependentSchemas": {"a": False}},
    {"minProperties": 5},
    {"if": {"type": "integer"}, "then": False},
]


@pytest.mark.parametrize("schema", KEYWORDS, ids=str)
@pytest.mark.parametrize("value", [5, "xx", [1, 1, 2], {"a": 1, "long": 2}, None], ids=str)
def test_a_fault_of_any_keyword_is_told(schema: Any, value: Any) -> None:
    made = InputSchema({"type": "object", "properties": {"x": schema}})
    faults = made.faults({"x": value})
    assert made.accepts({"x": value}) is not bool(faults)
    assert all(fault.issue and fault.field.startswith("x") for fault in faults)
    assert msgspec.json.encode(faults)


def test_paths_are_written_for_readers_and_for_programs() -> None:
    assert field_name(["rows", 0, "age"]) == "rows[0].age"
    assert field_name([]) == "inputs"
    assert pointer(["rows", 0, "a/b~"]) == "/inputs/rows/0/a~1b~0"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a" * 64, "a" * 64), ("a" * 65, "a" * 63 + "…"), (True, True), (1.5, 1.5), (2**63, None),
     (-(2**70), None), ([1], None), ({}, None), (None, None)],
)  # fmt: skip
def test_scalars_are_shown_back_shortened_and_the_rest_is_not(value: Any, shown: Any) -> None:
    assert echo(value) == shown
