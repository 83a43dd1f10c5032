"""Containment of schemas: whatever is called compatible is held against the real validator."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.contracts.compatibility.containment import Gap, gaps
from control_plane.contracts.compatibility.terms import read_term
from control_plane.contracts.inputs import InputSchema

STRING = {"type": "string"}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
CLOSED = {"type": "object", "additionalProperties": False}
TREE = {"type": "object", "properties": {"below": {"$ref": "#/$defs/tree"}}}


def document(value: Any, **defs: Any) -> dict[str, Any]:
    """Inputs with one field."""
    return {**CLOSED, "properties": {"v": value}, "$defs": defs}


def between(before: dict[str, Any], after: dict[str, Any]) -> list[Gap]:
    return gaps([read_term(before)], read_term(after), "")


def field(before: Any, after: Any) -> list[Gap]:
    return between(document(before), document(after))


def array(**keywords: Any) -> dict[str, Any]:
    return {"type": "array", **keywords}


def record(*required: str, **properties: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": properties, "required": list(required)}


WIDER = [
    (STRING, {}),
    (WHOLE, NUMBER),
    (WHOLE, {"type": ["number", "null"]}),
    (NUMBER, {"type": ["integer", "number"]}),
    ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 6, "minimum": 9}),
    ({"type": "string", "pattern": "a", "format": "date"}, STRING),
    ({"minimum": 1}, {"exclusiveMinimum": 0.5}),
    ({"type": "integer", "exclusiveMinimum": 0}, {"minimum": 1}),
    ({"type": "integer", "exclusiveMaximum": 2.5}, {"maximum": 2}),
    ({"exclusiveMaximum": 1}, {"maximum": 1}),
    ({"type": "integer", "multipleOf": 6}, {"multipleOf": 3}),
    (WHOLE, {"multipleOf": 1}),
    ({"enum": ["a", "b"]}, {"enum": ["b", "c", "a"]}),
    ({"enum": ["a", "bb"]}, {"type": "string", "maxLength": 2}),
    ({"const": 1}, {"enum": [1.0, True]}),
    ({"enum": [1, "a"], "type": "string"}, STRING),
    ({"enum": [1, "a"]}, {"anyOf": [WHOLE, STRING]}),
    ({"enum": [{"a": 1}]}, {"type": "object", "required": ["a"]}),
    ({"type": "boolean"}, {"enum": [True, False]}),
    ({"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [1, 2, 3, 4]}),
    (array(items=WHOLE), array(items=NUMBER)),
    (array(prefixItems=[WHOLE], items=False), array(items=WHOLE, maxItems=1)),
    (array(items=WHOLE), array(prefixItems=[WHOLE, NUMBER], items=WHOLE)),
    (array(items=WHOLE, maxItems=1), array(prefixItems=[WHOLE, STRING], uniqueItems=True)),
    (array(uniqueItems=True), array(uniqueItems=False)),
    (record(a=WHOLE), record(a=NUMBER, b=STRING)),
    (record("a", a=WHOLE), record(a=WHOLE)),
    (record("a", a=WHOLE), {"minProperties": 1, "maxProperties": 1}),
    (record(a=WHOLE), {"additionalProperties": NUMBER}),
    (record(a=False, b=WHOLE), record(b=WHOLE)),
    ({"allOf": [{"minimum": 2}, {"maximum": 3}]}, {"minimum": 2, "maximum": 3}),
    ({"minimum": 2, "maximum": 3}, {"allOf": [{"minimum": 1}, {"maximum": 3}]}),
    ({"anyOf": [STRING, WHOLE]}, {"type": ["string", "integer"]}),
    ({"anyOf": [STRING, WHOLE]}, {"anyOf": [NUMBER, STRING, {"type": "null"}]}),
    ({"oneOf": [STRING, WHOLE]}, {"anyOf": [WHOLE, STRING]}),
    ({"oneOf": [STRING, WHOLE], "title": "a"}, {"oneOf": [STRING, WHOLE]}),
    (
        {"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]},
        {"oneOf": [{"const": "b"}, {"const": "a"}, {"const": "c", "description": "C"}]},
    ),
    ({"anyOf": [{"const": ["a"]}, {"const": "b"}]}, {"anyOf": [{"const": "b"}, array()]}),
    ({"not": STRING, "minimum": 1}, {"not": STRING}),
    ({"if": STRING, "then": {"maxLength": 1}}, {"if": STRING, "then": {"maxLength": 1}}),
    (array(contains=WHOLE, minContains=2), array(contains=WHOLE, minContains=2)),
    ({"patternProperties": {"^a": WHOLE}}, {"patternProperties": {"^a": WHOLE}}),
    ({**CLOSED, "unevaluatedProperties": False}, {**CLOSED, "unevaluatedProperties": False}),
    (False, STRING),
    ({"type": "string", "description": "a", "default": "a"}, {"type": "string", "title": "b"}),
    ({"type": "integer", "minimum": 10**400}, {"minimum": 10**399}),
]

NARROWER: list[tuple[Any, Any, str]] = [
    ({}, STRING, "/type"),
    (NUMBER, WHOLE, "/type"),
    (STRING, False, ""),
    (STRING, {"type": "string", "maxLength": 5}, "/maxLength"),
    ({"maxLength": 6}, {"maxLength": 5}, "/maxLength"),
    ({"minLength": 1}, {"minLength": 2}, "/minLength"),
    (STRING, {"pattern": "a"}, "/pattern"),
    ({"pattern": "a"}, {"pattern": "a|b"}, "/pattern"),
    (STRING, {"format": "date"}, "/format"),
    ({"minimum": 1}, {"exclusiveMinimum": 1}, "/exclusiveMinimum"),
    ({"minimum": 1}, {"minimum": 1.5}, "/minimum"),
    ({"minimum": 0.5}, {"minimum": 1}, "/minimum"),
    ({"maximum": 1.5}, {"maximum": 1}, "/maximum"),
    ({"enum": ["a", "bb"]}, {"type": "string", "maxLength": 1}, ""),
    (array(maxItems=2), array(maxItems=2, uniqueItems=True), "/uniqueItems"),
    ({"patternProperties": {"^a": {}}, "additionalProperties": WHOLE},
     {"properties": {"ab": WHOLE}}, "/properties/ab/type"),
    ({"patternProperties": {"^a": {}}, "additionalProperties": False},
     {"maxProperties": 0}, "/maxProperties"),
    ({"maximum": 10**400}, {"maximum": 10**399}, "/maximum"),
    ({"multipleOf": 3}, {"multipleOf": 6}, "/multipleOf"),
    ({"multipleOf": 0.2}, {"multipleOf": 0.1}, "/multipleOf"),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, "/enum"),
    ({"enum": [1]}, {"enum": [True]}, "/enum"),
    ({"const": 1}, {"const": 2}, ""),
    (STRING, {"enum": ["a"]}, "/enum"),
    ({"type": "boolean"}, {"const": True}, ""),
    (array(items=NUMBER), array(items=WHOLE), "/items/type"),
    (array(prefixItems=[NUMBER]), array(prefixItems=[WHOLE]), "/prefixItems/0/type"),
    (array(prefixItems=[{}, NUMBER]), array(items=WHOLE), "/items/type"),
    (array(maxItems=3), array(maxItems=2), "/maxItems"),
    (array(), array(uniqueItems=True), "/uniqueItems"),
    (record(a=WHOLE), record("a", a=WHOLE), "/required"),
    (record(a=WHOLE, b=WHOLE), record(a=WHOLE), "/properties/b"),
    (record(**{"a/~": NUMBER}), record(**{"a/~": WHOLE}), "/properties/a~1~0/type"),
    ({"type": "object"}, CLOSED, "/additionalProperties"),
    ({}, {"minProperties": 1}, "/minProperties"),
    ({"anyOf": [STRING, NUMBER]}, {"type": ["string", "integer"]}, "/type"),
    ({"anyOf": [STRING, NUMBER]}, {"anyOf": [STRING, WHOLE]}, "/anyOf"),
    ({"oneOf": [STRING, WHOLE]}, {"oneOf": [STRING, WHOLE, {"minimum": 3}]}, "/oneOf"),
    ({"not": {"minimum": 2}}, {"not": {"minimum": 1}}, "/not"),
    ({"allOf": [STRING]}, {"allOf": [{"maxLength": 2}]}, "/allOf/0/maxLength"),
    ({"if": STRING}, {"if": STRING, "then": {"maxLength": 1}}, "/if"),
    (array(contains=WHOLE), array(contains=WHOLE, minContains=2), "/contains"),
    ({}, {"patternProperties": {"^a": WHOLE}}, "/patternProperties"),
    ({"patternProperties": {"^a": NUMBER}}, {"properties": {"ab": WHOLE}}, "/properties/ab/type"),
    ({}, {"propertyNames": {"maxLength": 3}}, "/propertyNames"),
    ({}, {"dependentRequired": {"a": ["b"]}}, "/dependentRequired"),
    ({}, {"dependencies": {"a": ["b"]}}, "/dependencies"),
    ({"unevaluatedItems": False}, {"unevaluatedItems": False, "maxItems": 9}, "/maxItems"),
    ({"unevaluatedProperties": WHOLE, "maxItems": 8},
     {"unevaluatedProperties": WHOLE, "maxItems": 9}, "/unevaluatedProperties"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_what_accepts_more_has_no_gap(before: Any, after: Any) -> None:
    assert field(before, after) == []


@pytest.mark.parametrize(("before", "after", "place"), NARROWER)
def test_what_accepts_less_or_is_not_known_to_accept_more_is_named(
    before: Any, after: Any, place: str
) -> None:
    assert f"/properties/v{place}" in [gap.where for gap in field(before, after)]


@pytest.mark.parametrize("schema", [one for pair in WIDER for one in pair])
def test_a_schema_accepts_what_it_accepts(schema: Any) -> None:
    assert field(schema, schema) == []


def test_a_gap_that_is_only_not_disproved_says_so() -> None:
    (gap,) = field({"pattern": "a"}, {"pattern": "a|b"})
    assert not gap.difference.is_shown
    (gap,) = field(STRING, {"pattern": "a"})
    assert gap.difference.is_shown


@pytest.mark.parametrize("reference", ["#/$defs/a", "#/$defs/b%20~1~0/allOf/0", "#/properties/v"])
def test_references_are_followed(reference: str) -> None:
    defs = {"a": NUMBER, "b /~": {"allOf": [NUMBER]}}
    before = {**document(NUMBER, **defs), "properties": {"v": NUMBER, "w": {"$ref": reference}}}
    inline = {**before, "properties": {"v": NUMBER, "w": NUMBER}}
    narrow = {**before, "properties": {"v": NUMBER, "w": WHOLE}}
    assert between(before, inline) == between(inline, before) == []
    assert [gap.where for gap in between(before, narrow)] == ["/properties/w/type"]


def test_one_reference_to_two_definitions_is_no_equal() -> None:
    before, after = (document({"$ref": "#/$defs/a"}, a=one) for one in (NUMBER, WHOLE))
    assert [gap.where for gap in between(before, after)] == ["/properties/v/type"]


def test_keywords_beside_a_reference_hold_with_it() -> None:
    before = document({"$ref": "#/$defs/a", "maximum": 3}, a=NUMBER)
    assert between(before, document({**NUMBER, "maximum": 4})) == []
    assert between(document({**NUMBER, "maximum": 4}), before) != []


def test_recursion_follows_from_itself_and_from_nothing_else() -> None:
    before = document({"$ref": "#/$defs/tree"}, tree=TREE)
    same = {**document({"$ref": "#/$defs/tree"}, tree=TREE), "description": "another"}
    other = document({"$ref": "#/$defs/tree"}, tree={**TREE, "minProperties": 0})
    assert between(before, same) == []
    assert [gap.difference.is_shown for gap in between(before, other)] == [False]
    assert between(document({}), document({"$ref": "#/$defs/a"}, a={"$ref": "#/$defs/a"})) != []


def nested(depth: int, leaf: Any) -> Any:
    return array(items=nested(depth - 1, leaf)) if depth else leaf


def test_deep_schemas_are_compared() -> None:
    assert field(nested(60, WHOLE), nested(60, NUMBER)) == []
    (gap,) = field(nested(60, NUMBER), nested(60, WHOLE))
    assert gap.where.count("/items") == 60


def test_references_too_deep_to_follow_are_a_gap() -> None:
    def chain(leaf: Any) -> dict[str, Any]:
        links = {f"a{i}": array(items={"$ref": f"#/$defs/a{i + 1}"}) for i in range(150)}
        return document({"$ref": "#/$defs/a0"}, **links, a150=leaf)

    assert between(chain(NUMBER), chain(NUMBER)) == []
    assert [gap.difference.is_shown for gap in between(chain(WHOLE), chain(NUMBER))] == [False]


def test_differences_without_number_end_in_a_gap() -> None:
    names = [f"n{i}" for i in range(1000)]
    found = between(record(**dict.fromkeys(names, NUMBER)), record(**dict.fromkeys(names, WHOLE)))
    assert len(found) <= 202
    assert found[-1].where == ""
    assert not found[-1].difference.is_shown


def test_alternatives_of_alternatives_are_bounded() -> None:
    def many(step: int) -> dict[str, Any]:
        pairs = ({"anyOf": [{"minimum": i}, {"maximum": -i - step}]} for i in range(300))
        return {"allOf": list(pairs)}

    assert field(many(0), many(0)) == []
    assert field(many(0), many(1)) != []


def test_each_value_of_a_long_list_is_looked_up() -> None:
    labels = [f"label {i}" for i in range(10_000)]
    assert field({"enum": labels}, {"enum": [*labels[::-1], "further"]}) == []
    (gap,) = field({"enum": labels}, {"enum": labels[1:]})
    assert gap.difference.was == 'open to "label 0"'


VALUES: list[Any] = [
    None, True, False, -2, -1, 0, 1, 1.0, 2, 3, 4, 6, -0.5, 0.5, 1.5, 2.5, 10**20,
    "", "a", "b", "ab", "ba", "abc", "é", "2020-01-01",
]  # fmt: skip
ITEMS = [0, 1, 1.5, "a", None]
SAMPLES = [
    *VALUES,
    *([*items] for size in range(3) for items in itertools.product(ITEMS, repeat=size)),
    [1, 1, 1], [0, 1, 2], ["a", "b", "ab"], [[1]], [[]], [{"a": 1}],
    *({name: value} for name in ("a", "b", "ab") for value in (0, 1, 1.5, "a", [1])),
    {}, {"a": 1, "b": 1}, {"a": "a", "b": 2}, {"a": 1, "b": 1, "c": 1}, {"a": {"a": 1}},
]  # fmt: skip
SIZES = st.integers(0, 3)
LIMITS = st.sampled_from([-1, 0, 0.5, 1, 1.5, 2, 3])
NAMES = st.sampled_from(["a", "b", "ab"])
TYPES = st.sampled_from(["null", "boolean", "object", "array", "number", "integer", "string"])
LEAVES = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4, unique_by=repr),
    "const": st.sampled_from(SAMPLES),
    **dict.fromkeys(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], LIMITS),
    "multipleOf": st.sampled_from([0.5, 1, 2, 3, 6]),
    **{f"{end}{of}": SIZES for end in ("min", "max") for of in ("Length", "Items", "Properties")},
    "pattern": st.sampled_from(["a", "^a", "b$"]),
    "format": st.just("date"),
    "uniqueItems": st.booleans(),
    "required": st.lists(NAMES, max_size=2, unique=True),
    "dependentRequired": st.just({"a": ["b"]}),
    "dependencies": st.just({"a": ["b"]}),
    "title": st.just("a"),
}


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    single = ["items", "additionalProperties", "contains", "propertyNames", "not", "if", "then",
              "else", "unevaluatedItems", "unevaluatedProperties"]  # fmt: skip
    several = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(NAMES, inner, max_size=2)
    keywords = {
        **LEAVES,
        **dict.fromkeys(single, inner),
        **dict.fromkeys(["allOf", "anyOf", "oneOf", "prefixItems"], several),
        **dict.fromkeys(["properties", "dependentSchemas"], named),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
        "minContains": SIZES,
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b", "#/properties/v"]),
    }  # fmt: skip
    each = st.one_of([st.fixed_dictionaries({name: one}) for name, one in keywords.items()])
    return st.lists(each, max_size=3).map(
        lambda parts: {k: v for one in parts for k, v in one.items()}
    )


SCHEMAS = st.recursive(st.booleans() | schemas(st.just({})), schemas, max_leaves=4)


def mutated(draw: st.DrawFn, schema: Any) -> Any:
    """A schema with keywords replaced, added or left out, here or further inside."""
    if not isinstance(schema, dict) or draw(st.integers(0, 5)) == 0:
        return draw(SCHEMAS)
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in LEAVES:
            changed[key] = draw(LEAVES[key]) if draw(st.integers(0, 2)) == 0 else value
        elif key in {"properties", "patternProperties", "dependentSchemas"}:
            changed[key] = {name: mutated(draw, one) for name, one in value.items()}
        elif isinstance(value, dict):
            changed[key] = mutated(draw, value)
        elif draw(st.integers(0, 3)):
            changed[key] = value
    further = draw(SCHEMAS)
    return changed | further if isinstance(further, dict) and draw(st.booleans()) else changed


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    before = document(draw(SCHEMAS), a=draw(SCHEMAS), b=draw(SCHEMAS))
    if draw(st.booleans()):
        after = document(draw(SCHEMAS), a=draw(SCHEMAS), b=draw(SCHEMAS))
    else:
        parts = (before["properties"]["v"], *before["$defs"].values())
        value, a, b = (mutated(draw, one) if draw(st.booleans()) else one for one in parts)
        after = document(value, a=a, b=b)
    return before, after


@settings(max_examples=300)
@given(pairs())
def test_what_is_called_wider_accepts_all_that_was_valid(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, after = pair
    if between(before, after):
        return
    old, new = InputSchema(before), InputSchema(after)
    refused = [v for v in SAMPLES if old.accepts({"v": v}) and not new.accepts({"v": v})]
    assert refused == []


@given(pairs())
def test_a_schema_always_follows_from_itself(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, _ = pair
    assert between(before, before) == []
