"""The contract gate: what breaks a client, what adds to it, and the number that it calls for."""

from __future__ import annotations

from collections.abc import Callable
from math import nextafter
from typing import Any

import msgspec
import pytest

from control_plane.contracts.compatibility.answers import answer_changes
from control_plane.contracts.compatibility.changes import Change, Comparison
from control_plane.contracts.compatibility.compare import compare
from control_plane.contracts.compatibility.requests import OVERFLOWS
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.document import AnswerSpec
from control_plane.errors import InvalidInput
from control_plane.types import ModelSignature, TensorSignature

Compile = Callable[..., CompiledContract]

NUMBER = {"type": "number"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"\S"}
LABELS = {"kind": "classification", "tensor": "P", "labels": ["a", "b", "c"]}
RATIO = {"type": "number", "minimum": 0, "maximum": 1, "default": 0}


def inputs(required: tuple[str, ...] = ("x",), /, **more: Any) -> dict[str, Any]:
    return {"required": list(required), "properties": {"x": NUMBER, **more}}


def tensor(datatype: str = "FP32", *shape: int) -> dict[str, Any]:
    return {"X": {"from": "x", "datatype": datatype, "shape": list(shape or (1,))}}


@pytest.fixture
def changed(compiled: Compile) -> Callable[..., list[Change]]:
    """The changes between two contracts that differ from a sound one in some fields."""

    def build(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
        return list(compare(compiled(**before), compiled(**after)).changes)

    return build


Changed = Callable[..., list[Change]]

BREAKS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"inputs": inputs(t=TEXT)}, {"inputs": inputs(t={**TEXT, "maxLength": 500})},
     "/inputs/properties/t/maxLength"),
    ({"inputs": inputs(t=TEXT)}, {}, "/inputs/properties/t"),
    ({"inputs": inputs(t=TEXT)},
     {"inputs": inputs(("x", "t"), t={**TEXT, "default": "a"}), "examples": [{"x": 1, "t": "a"}]},
     "/inputs/required"),
    ({"anonymous": True}, {}, "/anonymous"),
    ({"deadline_ms": 2000}, {"deadline_ms": 1999}, "/deadline_ms"),
    ({"explain": {"explainer": "e", "method": "m"}}, {}, "/explain"),
    ({"tensors": tensor("FP64")}, {"tensors": tensor("FP32")}, "/tensors/X/datatype"),
    ({"answer": LABELS}, {"answer": {"kind": "regression", "tensor": "P"}}, "/answer/kind"),
    ({"answer": LABELS}, {"answer": {**LABELS, "labels": ["a", "b"]}}, "/answer/labels"),
    ({"answer": LABELS}, {"answer": {**LABELS, "labels": ["c", "b", "a", "d"]}}, "/answer/labels"),
    ({"answer": {"kind": "regression", "tensor": "P", "unit": "m"}},
     {"answer": {"kind": "regression", "tensor": "P", "unit": "cm"}}, "/answer/unit"),
    ({"answer": {"kind": "regression", "tensor": "P", "unit": "m"}},
     {"answer": {"kind": "regression", "tensor": "P"}}, "/answer/unit"),
    ({"inputs": inputs(r=RATIO), "answer": {**LABELS, "threshold": "r"}},
     {"inputs": inputs(r=RATIO), "answer": LABELS}, "/answer/threshold"),
    ({"inputs": inputs(r=RATIO, s=RATIO), "answer": {**LABELS, "threshold": "r"}},
     {"inputs": inputs(r=RATIO, s=RATIO), "answer": {**LABELS, "threshold": "s"}},
     "/answer/threshold"),
    ({"answer": {"kind": "tensors", "tensors": ["X", "Y"]}}, {}, "/answer/tensors"),
]  # fmt: skip

ADDITIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"inputs": inputs(t=TEXT)}, "/inputs/properties/t"),
    ({"inputs": inputs(t={**TEXT, "maxLength": 500})}, {"inputs": inputs(t=TEXT)},
     "/inputs/properties/t/maxLength"),
    ({"inputs": inputs(t={"enum": ["a"]})}, {"inputs": inputs(t={"enum": ["a", "b"]})},
     "/inputs/properties/t/enum"),
    ({}, {"anonymous": True}, "/anonymous"),
    ({"deadline_ms": 1000}, {"deadline_ms": 2000}, "/deadline_ms"),
    ({}, {"explain": {"explainer": "e", "method": "m"}}, "/explain"),
    ({"tensors": tensor("FP32")}, {"tensors": tensor("FP64")}, "/tensors/X/datatype"),
    ({"inputs": inputs(r=RATIO), "answer": LABELS},
     {"inputs": inputs(r=RATIO), "answer": {**LABELS, "threshold": "r"}}, "/answer/threshold"),
    ({"answer": {"kind": "regression", "tensor": "P"}},
     {"answer": {"kind": "regression", "tensor": "P", "unit": "m"}}, "/answer/unit"),
    ({}, {"answer": {"kind": "tensors", "tensors": ["X", "Y"]}}, "/answer/tensors"),
]  # fmt: skip

NOTES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"inputs": inputs(r=RATIO)}, {"inputs": inputs(r={**RATIO, "default": 0.5})},
     "/inputs/properties/r/default"),
    ({"inputs": inputs(r=RATIO)}, {"inputs": inputs(r={"minimum": 0, "maximum": 1} | NUMBER)},
     "/inputs/properties/r/default"),
    ({"units": 1}, {"units": 2}, "/units"),
    ({"units": 2}, {"units": 1}, "/units"),
    ({"explain": {"explainer": "e", "method": "m"}},
     {"explain": {"explainer": "e", "method": "n", "units": 2}}, "/explain/method"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "where"), BREAKS)
def test_a_break_is_named(
    changed: Changed, before: dict[str, Any], after: dict[str, Any], where: str
) -> None:
    found = changed(before, after)
    assert where in [change.where for change in found if change.breaking]
    assert all(change.what.startswith("Before: ") and "Now: " in change.what for change in found)


@pytest.mark.parametrize(("before", "after", "where"), ADDITIONS)
def test_an_addition_breaks_nothing(
    changed: Changed, before: dict[str, Any], after: dict[str, Any], where: str
) -> None:
    found = changed(before, after)
    assert [(change.where, change.breaking, change.adds) for change in found] == [
        (where, False, True)
    ]


@pytest.mark.parametrize(("before", "after", "where"), NOTES)
def test_what_behaves_otherwise_is_told(
    changed: Changed, before: dict[str, Any], after: dict[str, Any], where: str
) -> None:
    found = changed(before, after)
    assert where in [change.where for change in found]
    assert not any(change.breaking or change.adds for change in found)


@pytest.mark.parametrize(
    "after",
    [
        {"title": "Another", "description": "Another", "status": "experimental"},
        {"examples": [{"x": 2}, {"x": 3}]},
        {"inputs": {**inputs(), "properties": {"x": {**NUMBER, "description": "Another"}}}},
        {"tensors": {"Z": {**tensor()["X"], "bucket_bytes": 0}}},
    ],
)
def test_what_no_client_notices_is_not_told(changed: Changed, after: dict[str, Any]) -> None:
    assert changed({}, after) == []


def test_what_cannot_be_shown_is_one_break(changed: Changed) -> None:
    before, after = (
        {"inputs": inputs(t={"type": "string", "pattern": pattern})} for pattern in ("a", "a|b")
    )
    (change,) = changed(before, after)
    assert change.breaking
    assert "cannot be shown" in change.what


def test_labels_in_another_order_are_the_same_answer(changed: Changed) -> None:
    assert changed({"answer": LABELS}, {"answer": {**LABELS, "labels": ["c", "a", "b"]}}) == []


@pytest.mark.parametrize(
    ("version", "after", "calls_for", "is_numbered_well"),
    [
        ("v3.0.0", {"deadline_ms": 1}, "v3.0.0", True),
        ("v2.9.9", {"deadline_ms": 1}, "v3.0.0", False),
        ("v2.4.0", {"anonymous": True}, "v2.4.0", True),
        ("v2.3.9", {"anonymous": True}, "v2.4.0", False),
        ("v2.3.2", {"units": 7}, "v2.3.2", True),
        ("v2.3.1", {}, "v2.3.2", False),
        ("v5.0.0", {}, "v2.3.2", True),
    ],
)
def test_changes_call_for_a_version_number(
    compiled: Compile,
    version: str,
    after: dict[str, Any],
    calls_for: str,
    *,
    is_numbered_well: bool,
) -> None:
    found = compare(compiled(version="v2.3.1"), compiled(version=version, **after))
    assert (found.before, found.after) == ("v2.3.1", version)
    assert (found.calls_for, found.is_numbered_well) == (calls_for, is_numbered_well)
    assert found.is_compatible is (calls_for != "v3.0.0")


def test_versions_of_two_models_are_not_compared(compiled: Compile) -> None:
    with pytest.raises(ValueError, match="not versions of one model"):
        compare(compiled(), compiled(model="garden"))


def test_a_comparison_is_json_in_the_same_order_each_time(compiled: Compile) -> None:
    properties = {f"f{i}": TEXT for i in range(20)}
    before = compiled(inputs=inputs(**properties), anonymous=True)
    after = compiled(inputs=inputs(added=TEXT, f3={**TEXT, "minLength": 2}), units=2)
    first, again = compare(before, after), compare(before, after)
    text = msgspec.json.encode(first)
    assert text == msgspec.json.encode(again)
    assert msgspec.json.decode(text, type=Comparison) == first
    breaking = [change.breaking for change in first.changes]
    assert breaking == sorted(breaking, reverse=True)
    assert len([one for one in first.changes if one.breaking]) == 21


def test_an_example_that_is_refused_is_named(changed: Changed) -> None:
    before = {"examples": [{"x": 1}, {"x": 1e30}]}
    (example, tensor_) = changed(before, {"tensors": tensor("FP16")})
    assert (example.where, example.breaking) == ("/examples/1", True)
    assert "does not fit FP16" in example.what
    assert tensor_.where == "/tensors/X/datatype"


def test_a_default_that_its_tensor_cannot_hold_refuses_the_examples(changed: Changed) -> None:
    after = {
        "inputs": inputs(n={"type": "integer", "default": 300}),
        "tensors": {**tensor(), "N": {"from": "n", "datatype": "UINT8", "shape": [1]}},
        "examples": [{"x": 1, "n": 1}],
    }
    assert "/examples/0" in [change.where for change in changed({}, after) if change.breaking]


@pytest.mark.parametrize(
    ("before", "after", "is_wider"),
    [
        ({"x": {"type": "integer", "minimum": 0, "maximum": 255}}, "UINT8", True),
        ({"x": {"type": "integer", "minimum": 0, "maximum": 256}}, "UINT8", False),
        ({"x": {"type": "number", "minimum": -65519, "maximum": 65519}}, "FP16", True),
        ({"x": {"type": "number", "minimum": -65519, "maximum": 65520}}, "FP16", False),
    ],
)
def test_a_smaller_datatype_breaks_what_it_cannot_hold(
    changed: Changed, before: dict[str, Any], after: str, *, is_wider: bool
) -> None:
    schema = {"required": ["x"], "properties": before}
    found = changed(
        {"inputs": schema, "tensors": tensor("FP32" if after == "FP16" else "INT64")},
        {"inputs": schema, "tensors": tensor(after)},
    )
    assert [change.breaking for change in found] == ([] if is_wider else [True])


def array(inner: dict[str, Any], depth: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": array(inner, depth - 1)} if depth else inner


@pytest.mark.parametrize(
    ("depth", "before", "after", "breaks"),
    [
        (1, [-1], [-1], False),
        (1, [3], [-1], False),
        (1, [-1], [3], True),
        (1, [2], [3], True),
        (2, [-1, 2], [-1, -1], False),
        (2, [-1, -1], [-1, -1], False),
        (2, [-1, -1], [2, -1], True),
    ],
)
def test_a_tensor_of_another_shape_breaks_the_arrays_that_it_cannot_hold(
    changed: Changed, depth: int, before: list[int], after: list[int], *, breaks: bool
) -> None:
    schema = {"required": ["x"], "properties": {"x": array(NUMBER, depth)}}

    def contract(shape: list[int]) -> dict[str, Any]:
        value: Any = 1
        for length in reversed(shape):
            value = [value] * max(length, 1)
        return {"inputs": schema, "tensors": tensor("FP32", *shape), "examples": [{"x": value}]}

    found = changed(contract(before), contract(after))
    assert ("/tensors/X/shape" in [one.where for one in found if one.breaking]) is breaks


def test_an_input_that_fills_a_tensor_may_not_be_ragged(changed: Changed) -> None:
    schema = inputs(
        m={**array(NUMBER, 2), "minItems": 1, "items": {**array(NUMBER), "minItems": 1}}
    )
    schema["required"].append("m")
    example = {"examples": [{"x": 1, "m": [[1]]}]}
    matrix = {"M": {"from": "m", "datatype": "FP32", "shape": [-1, -1]}}
    before = {"inputs": schema, **example}
    found = changed(before, {**before, "tensors": {**tensor("FP32"), **matrix}})
    assert {"/tensors/M/shape", "/tensors/M/datatype"} == {one.where for one in found}


@pytest.mark.parametrize(
    ("datatype", "below"),
    [("FP16", 65_519.99), ("FP32", nextafter(2**128 - 2**103, 0)), ("FP64", OVERFLOWS["FP64"] - 1)],
    ids=["FP16", "FP32", "FP64"],
)
def test_a_float_overflows_where_it_is_said_to(
    compiled: Compile, datatype: str, below: float
) -> None:
    made = compiled(tensors=tensor(datatype))
    made.encode({"x": below})
    with pytest.raises(InvalidInput, match="Input validation failed"):
        made.encode({"x": OVERFLOWS[datatype]})


def signature(*outputs: tuple[str, str, tuple[int, ...]]) -> ModelSignature:
    return ModelSignature((), tuple(TensorSignature(*output) for output in outputs), 8)


@pytest.mark.parametrize(
    ("answer", "before", "after", "breaks"),
    [
        ({"kind": "embedding", "tensor": "X"}, ("X", "FP32", (384,)), ("X", "FP32", (768,)), True),
        ({"kind": "embedding", "tensor": "X"}, ("X", "FP32", (384,)), ("X", "FP16", (384,)), False),
        (None, ("X", "FP32", (2,)), ("X", "FP64", (2,)), False),
        (None, ("X", "FP32", (2,)), ("X", "INT64", (2,)), True),
        (None, ("X", "FP32", (2,)), ("X", "FP32", (2, 1)), True),
        (None, ("X", "FP32", (-1,)), ("X", "FP32", (2,)), False),
        (None, ("X", "FP32", (2,)), ("X", "FP32", (-1,)), True),
        (None, ("X", "FP32", (2,)), ("Y", "FP32", (2,)), False),
    ],
)
def test_outputs_are_compared_where_triton_told_them(
    compiled: Compile, answer: Any, before: Any, after: Any, *, breaks: bool
) -> None:
    made = compiled(**({"answer": answer} if answer else {}))
    assert compare(made, made).is_compatible
    found = compare(made, made, (signature(before), signature(after)))
    assert found.is_compatible is not breaks


def test_ten_thousand_labels_are_compared() -> None:
    labels = [f"label {i}" for i in range(10_000)]
    before, same, fewer = (
        AnswerSpec("classification", tensor="P", labels=each)
        for each in (labels, labels[::-1], labels[:9990])
    )
    assert answer_changes(before, same) == []
    (gone,) = answer_changes(before, fewer)
    assert '"label 9990"' in gone.what
    assert "and 5 more" in gone.what


def test_hundreds_of_columns_are_one_change(compiled: Compile) -> None:
    names = [f"c{i}" for i in range(300)]

    def wide(datatype: str) -> CompiledContract:
        return compiled(
            inputs={"required": names, "properties": dict.fromkeys(names, NUMBER)},
            tensors={"X": {"from": names, "datatype": datatype, "shape": [len(names)]}},
            examples=[dict.fromkeys(names, 1)],
        )

    (change,) = compare(wide("FP64"), wide("FP32")).changes
    assert "and 295 more" in change.what
