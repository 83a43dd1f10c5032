"""No value of an input is kept but those that the rollout names, and these encrypted and small."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.routing.shadow.redaction import (
    MAX_INPUTS,
    MAX_KEPT_BYTES,
    StoredInput,
    input_place,
    redact,
)
from control_plane.sealing import Sealer

SEALER = Sealer("A" * 43)
PLACE = "here"
secrets = st.text("xyz", min_size=12)
values = st.recursive(
    secrets,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(secrets, children, max_size=4)
    ),
    max_leaves=10,
)


def secrets_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return [secret for part in parts for secret in secrets_of(part)]


@given(values)
def test_without_a_name_only_the_form_is_told(value: Any) -> None:
    found = redact({"text": value}, (), SEALER, PLACE)
    kind = {str: "string", list: "array", dict: "object"}[type(value)]
    assert found == [StoredInput("text", kind, len(value))]


@given(values)
def test_a_kept_value_is_encrypted_and_read_again(value: Any) -> None:
    text = msgspec.json.encode(value)
    (found,) = redact({"text": value}, ("text",), SEALER, PLACE)
    if len(text) > MAX_KEPT_BYTES:
        assert found.kept == "too_long"
        assert not found.sealed
        return
    assert found.kept == "yes"
    assert SEALER.unseal(found.sealed, input_place(PLACE, "text")) == text
    stored = msgspec.json.encode(found)
    assert not any(secret.encode() in stored for secret in secrets_of(value))


@pytest.mark.parametrize(
    ("value", "kind", "length"),
    [(True, "boolean", None), (3, "integer", None), (0.5, "number", None), (None, "null", None)],
)
def test_scalars_have_no_length(value: Any, kind: str, length: int | None) -> None:
    assert redact({"x": value}, (), SEALER, PLACE) == [StoredInput("x", kind, length)]


@pytest.mark.parametrize(
    "value",
    [
        "x" * (MAX_KEPT_BYTES - 1),
        "é" * (MAX_KEPT_BYTES // 2),
        [0] * 1025,
        [[["x" * 3000]]],
        {"a": {"b": list(range(3000))}},
        {"k" * 3000: 1},
    ],
)
def test_a_value_beyond_2_kib_is_left_out(value: Any) -> None:
    (found,) = redact({"x": value}, ("x",), SEALER, PLACE)
    assert (found.kept, found.sealed) == ("too_long", "")


def test_a_value_of_2_kib_is_kept() -> None:
    (found,) = redact({"x": "x" * (MAX_KEPT_BYTES - 2)}, ("x",), SEALER, PLACE)
    assert found.kept == "yes"


def test_a_huge_value_is_not_written_out_to_be_measured() -> None:
    cannot_be_written = object()
    (found,) = redact({"x": [[*range(5000), cannot_be_written]]}, ("x",), SEALER, PLACE)
    assert found.kept == "too_long"


def test_no_more_than_64_inputs_are_told_of() -> None:
    inputs = {f"x{number}": number for number in range(200)}
    assert len(redact(inputs, (), SEALER, PLACE)) == MAX_INPUTS
