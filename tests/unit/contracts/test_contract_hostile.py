"""Contracts drawn at random: what is no contract is a list of faults, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.contracts.compiler import CompiledContract, compile_contract
from control_plane.contracts.source import FaultyContract, Source
from control_plane.errors import InvalidInput
from control_plane.types import Backing

Document = Callable[..., dict[str, Any]]

WORDS = st.sampled_from(
    ["x", "y", "t", "type", "number", "array", "object", "string", "integer", "FP32", "BYTES",
     "INT8", "#", "#/$defs/a", "#/properties/x", "#/allOf/0", "http://127.0.0.1:9/", "^(a+)+$",
     "(", "", "v1.0.0", "P", "tensors", "classification", "regression", "é", "\u2028"]
)  # fmt: skip
KEYWORDS = st.sampled_from(
    ["type", "$ref", "$dynamicRef", "$defs", "$anchor", "$id", "$schema", "properties", "required",
     "items", "prefixItems", "enum", "const", "default", "minimum", "maximum", "pattern", "format",
     "allOf", "anyOf", "oneOf", "not", "if", "then", "additionalProperties", "x", "y", "t",
     "unevaluatedProperties", "dependentSchemas", "propertyNames", "contains", "minItems", "from",
     "datatype", "shape", "kind", "tensor", "labels", "threshold", "unit", "warnings", "examples"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([10**30, -(10**400), 2**63, 2**64])
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS | WORDS, inner, max_size=4)
    ),
    max_leaves=12,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, child in children:
        found += places(child, (*path, key))
    return found


def put(node: Any, path: tuple[Any, ...], value: Any) -> None:
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value


def survives(document: dict[str, Any], *, probe: Any) -> None:
    """The contract is faulty, or it serves: it takes or refuses inputs and can be published."""
    try:
        source = Source("m/1/contract.yaml", json.dumps(document))
        made = compile_contract(source, Backing("m", "1"))
    except FaultyContract as error:
        told = error.faults
    else:
        told = []
        serves(made, probe)
    assert all(f.file and f.line >= 0 and f.message and f.remedy for f in told)


def serves(made: CompiledContract, probe: Any) -> None:
    msgspec.json.encode([made.inputs.schema, made.contract, made.answers.kind.schemas()])
    for inputs in (*made.contract.examples, {"x": probe}, {}):
        with suppress(InvalidInput):
            made.encode(made.inputs.complete(inputs))


@settings(max_examples=200)
@given(data=st.data(), value=VALUES, probe=VALUES)
def test_a_contract_with_one_part_replaced_raises_only_faults(
    document: Document, data: st.DataObject, value: Any, probe: Any
) -> None:
    drawn = document()
    put(drawn, data.draw(st.sampled_from(places(drawn))), value)
    survives(drawn, probe=probe)


TYPES = st.sampled_from(["number", "integer", "string", "array", "object", "boolean", "null"])
REFERENCES = st.sampled_from(["#/$defs/a", "#/$defs/b", "#/properties/y", "#", "#/allOf/0"])


def schemas_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas whose keywords mostly have values of the right kind."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "$ref": REFERENCES,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "enum": st.lists(SCALARS, min_size=1, max_size=2),
            "default": SCALARS,
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "$defs": st.fixed_dictionaries({"a": inner}),
        },
    )


SCHEMAS = st.recursive(st.booleans() | schemas_of(st.just({})), schemas_of, max_leaves=4)
SAMPLES = [1, 2.5, "a", True, None, [1], ["a"], [[1]], [], {"x": 1}]


@settings(max_examples=250)
@given(x=SCHEMAS, y=SCHEMAS, a=SCHEMAS, b=SCHEMAS, data=st.data())
def test_any_schema_of_an_input_raises_only_faults(
    document: Document, x: Any, y: Any, a: Any, b: Any, data: st.DataObject
) -> None:
    datatype = data.draw(st.sampled_from(["FP32", "INT8", "BYTES"]))
    shape = data.draw(st.sampled_from([[1], [-1], [1, -1]]))
    survives(
        document(
            inputs={
                "required": ["x"],
                "properties": {"x": x, "y": y},
                "allOf": [True],
                "$defs": {"a": a, "b": b},
            },
            tensors={"X": {"from": "x", "datatype": datatype, "shape": shape}},
            examples=[{"x": data.draw(st.sampled_from(SAMPLES))}],
        ),
        probe=data.draw(st.sampled_from(SAMPLES)),
    )


@given(VALUES)
def test_any_document_raises_only_faults(value: Any) -> None:
    survives(value, probe=0)
