"""Merge patches and the faults of bodies."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.admin.answers import answer
from control_plane.admin.schemas import KeyFields, TierBody
from control_plane.errors import InvalidInput
from control_plane.web.body import control_character, fault_of, merged, shaped

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396(original: Any, patch: Any, result: Any) -> None:
    assert merged(original, patch) == result


@given(_values, _values)
def test_a_patch_leaves_what_it_was_given_alone(current: Any, patch: Any) -> None:
    kept = msgspec.json.encode([current, patch])
    once = merged(current, patch)
    assert merged(once, patch) == once
    assert msgspec.json.encode([current, patch]) == kept


@pytest.mark.parametrize(
    ("message", "field", "path", "issue"),
    [
        ("Expected `int`, got `str` - at `$.limits.burst`", "limits.burst", "/limits/burst",
         "expected `int`, got `str`"),
        ("Expected `str` - at `$.scopes[12]`", "scopes[12]", "/scopes/12", "expected `str`"),
        ("Expected `object`, got `array`", "", "", "expected `object`, got `array`"),
        ("Object contains unknown field `a` - at `$.limits`", "limits.a", "/limits/a",
         "object contains unknown field `a`"),
    ],
)  # fmt: skip
def test_a_message_becomes_a_fault(message: str, field: str, path: str, issue: str) -> None:
    fault = fault_of(message)
    assert (fault.field, fault.path, fault.issue) == (field, path, issue)


@given(_values, st.sampled_from([TierBody, KeyFields]))
def test_whatever_comes_is_taken_or_a_fault(value: Any, shape: type[msgspec.Struct]) -> None:
    with suppress(InvalidInput):
        assert isinstance(shaped(value, shape), shape)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a\n", ""),
        ({"id": "a\n"}, "/id"),
        ({"id": "a", "scopes": ["predict", "x\x00"]}, "/scopes/1"),
        ([["a", {"b": "\x7f"}], "\t"], "/0/1/b"),
        ({"a/b": "\x85"}, "/a~1b"),
    ],
)
def test_the_first_control_character_is_a_fault(value: Any, path: str) -> None:
    found = control_character(value)
    assert found is not None
    assert (found.path, found.issue) == (path, "has a control character")


@pytest.mark.parametrize("value", [None, 1, True, "Zoë, 東京 😀", {"a": ["b", {}]}, []])
def test_other_characters_are_none(value: Any) -> None:
    assert control_character(value) is None


def test_a_location_is_percent_encoded() -> None:
    made = answer(None, 1, 201, "/tenants/a b\nc")
    assert made.headers["location"] == "/admin/v1/tenants/a%20b%0Ac"
