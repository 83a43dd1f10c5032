"""The compiler: what makes a contract faulty, with line and remedy, and never another exception."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.source import FaultyContract
from control_plane.errors import InvalidInput
from control_plane.types import FileFault

Faults = Callable[[str], list[FileFault]]
Compile = Callable[..., CompiledContract]
Document = Callable[..., dict[str, Any]]

NUMBER = {"type": "number"}


def inputs(x: Any = NUMBER, *, required: tuple[str, ...] = ("x",), **more: Any) -> dict[str, Any]:
    return {"required": list(required), "properties": {"x": x}, **more}


def tensor(datatype: str = "FP32", shape: Any = (1,), source: Any = "x") -> dict[str, Any]:
    return {"X": {"from": source, "datatype": datatype, "shape": list(shape)}}


def classification(**more: Any) -> dict[str, Any]:
    return {"kind": "classification", "tensor": "P", "labels": ["a", "b"], **more}


def test_a_sound_contract_compiles(compiled: Compile) -> None:
    made = compiled()
    assert (str(made.ref), str(made.backing)) == ("house v1.0.0", "m/1")
    assert made.encode({"x": 1}).parts == (b"\x00\x00\x80?",)


def test_defaults_are_applied_and_never_over_what_was_sent(compiled: Compile) -> None:
    made = compiled(inputs=inputs({"type": "number", "default": 7}, required=()))
    assert made.inputs.complete({}) == {"x": 7}
    assert made.inputs.complete({"x": 0}) == {"x": 0}


def test_a_default_behind_a_reference_is_applied(compiled: Compile) -> None:
    behind = {"$defs": {"a": {"type": "number", "default": 7}}}
    made = compiled(inputs=inputs({"$ref": "#/$defs/a"}, required=(), **behind), examples=[{}])
    assert made.encode(made.inputs.complete({})).parts == (b"\x00\x00\xe0@",)


@pytest.mark.parametrize(
    "schema",
    [
        inputs({"$ref": "#/$defs/a"}, **{"$defs": {"a": NUMBER}}),
        inputs({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": NUMBER}}),
        inputs({"$ref": "#/$defs/a~1b"}, **{"$defs": {"a/b": NUMBER}}),
        {"required": ["x"], "properties": {"x": {"$ref": "#/properties/y"}, "y": NUMBER}},
        {"required": ["x"],
         "properties": {"x": NUMBER, "y": {"$ref": "#/properties/x", "default": 1}}},
    ],
    ids=["defs", "two steps", "escaped", "sibling", "sibling with default"],
)  # fmt: skip
def test_a_reference_within_the_document_is_followed(
    compiled: Compile, schema: dict[str, Any]
) -> None:
    assert compiled(inputs=schema).inputs.accepts({"x": 1})


def test_what_the_inputs_do_not_name_is_refused(compiled: Compile) -> None:
    with pytest.raises(InvalidInput):
        compiled().inputs.complete({"x": 1, "y": 2})


def test_a_pattern_that_would_backtrack_answers_in_linear_time(compiled: Compile) -> None:
    text = {"type": "string", "pattern": "^(a+)+$"}
    schema = {"required": ["x"], "properties": {"x": NUMBER, "s": text}}
    assert not compiled(inputs=schema).inputs.accepts({"x": 1, "s": "a" * 100_000 + "!"})


FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"colour": "red"}, "colour"),
    "missing field": ({"title": None}, "title"),
    "bad name": ({"model": "House"}, "model"),
    "name with a line end": ({"model": "house\n"}, "model"),
    "bad version": ({"version": "1.0"}, "version"),
    "padded version": ({"version": "v01.0.0"}, "version"),
    "no examples": ({"examples": []}, "examples"),
    "deadline of zero": ({"deadline_ms": 0}, "deadline_ms"),
    "huge deadline": ({"deadline_ms": 10**40}, "deadline_ms"),
    "boolean deadline": ({"deadline_ms": True}, "deadline_ms"),
    "unknown dtype": ({"tensors": tensor("FP8")}, "datatype"),
    "dimension of zero": ({"tensors": tensor(shape=(0,))}, "dimension"),
    "negative dimension": ({"tensors": tensor(shape=(-2,))}, "shape"),
    "no such input": ({"tensors": tensor(source="z")}, "z"),
    "optional input": ({"inputs": inputs(required=())}, "optional"),
    "text in FP32": ({"inputs": inputs({"type": "string"})}, "string"),
    "float in INT8": ({"tensors": tensor("INT8")}, "number"),
    "boolean in INT8": ({"inputs": inputs({"type": "boolean"}), "tensors": tensor("INT8")},
                        "boolean"),
    "null in FP32": ({"inputs": inputs({"type": ["number", "null"]})}, "null"),
    "anything in FP32": ({"inputs": inputs({})}, "may be"),
    "columns of another number": ({"tensors": tensor(shape=(3,), source=["x"])}, "shape"),
    "open inputs": ({"inputs": inputs(additionalProperties=True)}, "additionalProperties"),
    "inputs that are no object": ({"inputs": inputs(type="array")}, "object"),
    "no properties": ({"inputs": {"properties": {}}}, "properties"),
    "other dialect": ({"inputs": inputs(**{"$schema": "http://json-schema.org/draft-07/schema#"})},
                      "dialect"),
    "id": ({"inputs": inputs(**{"$id": "http://127.0.0.1:9/x"})}, "$id"),
    "remote reference": ({"inputs": inputs({"$ref": "http://127.0.0.1:9/x"})}, "reference"),
    "file reference": ({"inputs": inputs({"$ref": "file:///etc/passwd"})}, "reference"),
    "relative reference": ({"inputs": inputs({"$ref": "other.json"})}, "reference"),
    "dangling reference": ({"inputs": inputs({"$ref": "#/$defs/none"})}, ""),
    "reference to itself": ({"inputs": inputs({"$ref": "#/properties/x"})}, ""),
    "reference to an anchor": (
        {"inputs": inputs({"$ref": "#n"}, **{"$defs": {"a": {"$anchor": "n", **NUMBER}}})},
        "anchor"),
    "reference to anything": ({"inputs": inputs({"$ref": "#/$defs/a"}, **{"$defs": {"a": True}})},
                              ""),
    "bad type": ({"inputs": inputs({"type": "decimal"})}, "Schema"),
    "bad pattern": ({"inputs": inputs({"type": "string", "pattern": "("})}, "Schema"),
    "look-ahead": ({"inputs": inputs({"type": "string", "pattern": "(?=a)"})}, ""),
    "back-reference": ({"inputs": inputs({"type": "string", "pattern": r"(a)\1"})}, ""),
    "exploding pattern": (
        {"inputs": inputs({"type": "string", "pattern": "((a{1,999}){1,999}){1,999}"})}, ""),
    "unknown format": ({"inputs": inputs({"type": "string", "format": "colour"})}, "Schema"),
    "bad default": ({"inputs": inputs({"type": "number", "default": "a"}, required=())}, "default"),
    "infinite bound": ({"inputs": inputs({"type": "number", "maximum": float("inf")})}, ""),
    "bad example": ({"examples": [{"x": "a"}]}, "example 0"),
    "example beyond the dtype": ({"examples": [{"x": 1e300}]}, "example 0"),
    "labels missing": ({"answer": {"kind": "classification", "tensor": "P"}}, "labels"),
    "labels twice": ({"answer": classification(labels=["a", "a"])}, "twice"),
    "labels of a regression": (
        {"answer": {"kind": "regression", "tensor": "P", "labels": ["a", "b"]}}, "labels"),
    "unit of a classification": ({"answer": classification(unit="EUR")}, "unit"),
    "tensor missing": ({"answer": {"kind": "embedding"}}, "tensor"),
    "tensors missing": ({"answer": {"kind": "tensors"}}, "tensors"),
    "tensor and tensors": ({"answer": {"kind": "regression", "tensor": "P", "tensors": ["P"]}},
                           "tensors"),
    "threshold unbounded": ({"answer": classification(threshold="x")}, "x"),
    "threshold unknown": ({"answer": classification(threshold="t")}, "t"),
    "threshold optional": ({"inputs": {"required": ["x"], "properties": {
        "x": NUMBER, "t": {"type": "number", "minimum": 0, "maximum": 1}}},
        "answer": classification(threshold="t")}, "t"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), FAULTY.values(), ids=FAULTY.keys())
def test_a_fault_is_told_with_line_and_remedy(
    faults_of: Faults, document: Document, changes: dict[str, Any], told: str
) -> None:
    text = json.dumps(document(**changes), indent=1)
    faults = faults_of(text.replace("Infinity", ".inf"))
    assert faults, "the contract was taken"
    assert any(told in fault.message for fault in faults)
    assert all(fault.line >= 1 and fault.remedy for fault in faults)


NO_EXCEPTION: dict[str, dict[str, Any]] = {
    "reference into a list": {"inputs": inputs({"$ref": "#/allOf/0"}, allOf=[NUMBER])},
    "reference to the document": {"inputs": inputs({"$ref": "#"})},
    "default with own definitions": {"inputs": inputs(
        {**NUMBER, "default": 1, "$defs": {"q": NUMBER},
         "allOf": [{"$ref": "#/properties/x/$defs/q"}]})},
    "threshold of a list of types": {"answer": classification(threshold="x"),
                                     "inputs": inputs({"type": ["number"]})},
    "array in a scalar BYTES": {"inputs": inputs({"type": "array", "items": {"type": "string"}}),
                                "tensors": tensor("BYTES"), "examples": [{"x": ["a"]}]},
    "array in a scalar INT32": {"inputs": inputs({"type": "array", "items": {"type": "integer"}}),
                                "tensors": tensor("INT32"), "examples": [{"x": [1]}]},
    "array in a column": {"inputs": inputs({"type": "array", "items": {"type": "integer"}}),
                          "tensors": tensor("INT32", source=["x"]), "examples": [{"x": [1]}]},
    "numbers among the first texts": {
        "inputs": inputs({"type": "array", "prefixItems": [NUMBER], "items": {"type": "string"}}),
        "tensors": tensor("BYTES", (-1,)), "examples": [{"x": [1]}]},
    "anchor and enum of lists": {"inputs": inputs({"enum": [[1], [2]]})},
    "required is no list": {"inputs": {"required": 5, "properties": {"x": NUMBER}}},
    "required of lists": {"inputs": {"required": [["x"]], "properties": {"x": NUMBER}},
                          "answer": classification(threshold="x")},
    "properties is a list": {"inputs": {"properties": ["x"]},
                             "answer": classification(threshold="x")},
    "definitions are no mapping": {"inputs": inputs(
        {"type": "number", "default": 1}, **{"$defs": 5})},
    "reference is a number": {"inputs": inputs({"$ref": 5})},
    "type is a mapping": {"inputs": inputs(type={"a": 1})},
    "everything is null": {"inputs": {"properties": {"x": None}}},
}  # fmt: skip


@pytest.mark.parametrize("changes", NO_EXCEPTION.values(), ids=NO_EXCEPTION.keys())
def test_an_odd_contract_compiles_or_is_faulty_and_raises_nothing_else(
    faults_of: Faults, document: Document, changes: dict[str, Any]
) -> None:
    faults_of(json.dumps(document(**changes)))


def test_text_in_an_integer_tensor_is_refused_even_if_it_looks_like_a_number(
    compiled: Compile,
) -> None:
    with pytest.raises(FaultyContract, match="may be string"):
        compiled(
            inputs=inputs(
                {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}
            ),
            tensors=tensor("INT32", (-1,)),
            examples=[{"x": ["5"]}],
        )


def test_every_fault_is_told_at_once(faults_of: Faults, document: Document) -> None:
    changes = {"model": "House", "version": "1", "deadline_ms": 0}
    text = json.dumps(document(**changes), indent=1)
    assert len({fault.line for fault in faults_of(text)}) == 3


def test_a_fault_of_the_shape_names_its_line(faults_of: Faults, document: Document) -> None:
    text = json.dumps(document(deadline_ms=0), indent=1)
    (fault,) = faults_of(text)
    assert '"deadline_ms"' in text.splitlines()[fault.line - 1]


def test_references_that_multiply_are_refused_before_they_are_followed(
    faults_of: Faults, document: Document
) -> None:
    doubled = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(40)
    }
    schema = inputs({"$ref": "#/$defs/d0"}, **{"$defs": {**doubled, "d40": NUMBER}})
    faults = faults_of(json.dumps(document(inputs=schema)))
    assert any("multiply" in fault.message for fault in faults)


def test_references_that_lead_too_deep_are_refused(faults_of: Faults, document: Document) -> None:
    chain = {f"d{at}": {"items": {"$ref": f"#/$defs/d{at + 1}"}} for at in range(2000)}
    schema = inputs({"$ref": "#/$defs/d0"}, **{"$defs": {**chain, "d2000": NUMBER}})
    faults = faults_of(json.dumps(document(inputs=schema)))
    assert any("lead deeper" in fault.message for fault in faults)
