"""The body around the inputs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.contracts.envelope import asks_for_a_job, read_envelope
from control_plane.errors import InvalidInput, MalformedRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["inputs", "model", "model_version", "options", "", "/", "explain", "x"])


def test_inputs_alone_are_enough() -> None:
    envelope = read_envelope({"inputs": {"x": 1}})
    assert envelope.inputs == {"x": 1}
    assert envelope.model is envelope.selector is None
    assert envelope.explain is False


def test_everything_that_may_stand_there_is_read() -> None:
    body = {
        "inputs": {},
        "model": "house",
        "model_version": "v1",
        "options": {"explain": "simple", "async": True},
    }
    envelope = read_envelope(body)
    assert (envelope.model, envelope.selector) == ("house", "v1")
    assert envelope.explain == "simple"
    assert envelope.faults == ()


@pytest.mark.parametrize("body", [None, [], "text", 5, 1.5, True])
def test_a_body_that_is_no_object_is_malformed(body: object) -> None:
    with pytest.raises(MalformedRequest):
        read_envelope(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": None}, "inputs"),
        ({"inputs": {}, "model": "House"}, "model"),
        ({"inputs": {}, "model": "a" * 64}, "model"),
        ({"inputs": {}, "model": None}, "model"),
        ({"inputs": {}, "model_version": 2}, "model_version"),
        ({"inputs": {}, "model_version": "2.0"}, "model_version"),
        ({"inputs": {}, "model_version": "v\uff12"}, "model_version"),
        ({"inputs": {}, "model_version": ""}, "model_version"),
    ],
)
def test_faults_of_what_decides_the_contract_are_raised(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_envelope(body)
    assert [fault.field for fault in caught.value.faults] == [field]


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"options": {"explain": "much"}}, "options.explain"),
        ({"options": {"explain": 1}}, "options.explain"),
        ({"options": {"async": "yes"}}, "options.async"),
        ({"options": {"asinc": True}}, "options.asinc"),
        ({"options": []}, "options"),
        ({"options": None}, "options"),
        ({"option": {}}, "option"),
        ({"": 1}, ""),
    ],
)
def test_faults_of_the_rest_are_kept_to_be_told_with_those_of_the_inputs(
    extra: dict[str, Any], field: str
) -> None:
    envelope = read_envelope({"inputs": {}, **extra})
    assert [fault.field for fault in envelope.faults] == [field or "inputs"]
    assert envelope.explain is False


def test_a_misspelt_field_is_guessed() -> None:
    (fault,) = read_envelope({"inputs": {}, "model_versoin": "v1"}).faults
    assert "did you mean model_version?" in fault.issue
    assert fault.path == "/model_versoin"


@given(JSON | st.dictionaries(NAMES, JSON))
def test_any_body_is_an_envelope_or_an_error_of_the_catalogue(body: object) -> None:
    with suppress(InvalidInput, MalformedRequest):
        assert isinstance(read_envelope(body).inputs, dict)


@pytest.mark.parametrize("depth", [100, 300, 900])
@pytest.mark.parametrize(
    "template", [b'{"inputs": %s}', b'{"model": %s, "inputs": {}}', b'{"x": %s, "inputs": {}}',
                 b'{"options": %s, "inputs": {}}', b'{"inputs": {"a": %s}, "x": 1}']
)  # fmt: skip
def test_a_deep_body_is_an_envelope_or_an_error_of_the_catalogue(
    template: bytes, depth: int
) -> None:
    body = msgspec.json.decode(template % (b"[" * depth + b"]" * depth))
    with suppress(InvalidInput, MalformedRequest):
        read_envelope(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputs": {}, "options": {"async": True}}, True),
        ({"inputs": {}, "options": {"async": True, "explain": "much"}}, True),
        ({"inputs": {}, "options": {"async": False}}, False),
        ({"inputs": {}, "options": {"async": 1}}, False),
        ({"inputs": {}, "options": {"async": "yes"}}, False),
        ({"inputs": {}, "options": [True]}, False),
        ({"inputs": {}}, False),
        ([{"options": {"async": True}}], False),
        (None, False),
    ],
)
def test_only_a_true_option_asks_for_a_job(body: Any, expected: bool) -> None:  # noqa: FBT001 - a case
    assert asks_for_a_job(body) is expected
