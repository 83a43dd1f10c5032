"""JSON Schemas made comparable: references followed, annotations left out, equals told at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import unquote

from msgspec import Struct

MAX_REFERENCES: Final = 32
"""References are followed this deep; together with the depth of a file it bounds recursion."""
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_SINGLE: Final = frozenset(
    {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else",
     "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
_DATA: Final = frozenset(
    {"type", "enum", "const", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
     "exclusiveMaximum", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems",
     "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties", "required",
     "dependentRequired"}
)  # fmt: skip


class Term(Struct, frozen=True, eq=False):
    """A schema by the keywords that accept or refuse.

    Attributes:
        keywords: Schemas among the values are terms. ``$ref`` holds its target as a term;
            ``knot``, which JSON Schema does not know, stands for a reference that is not followed.
        digest: Terms of one digest accept the same values.
        size: Number of values that the schema comes to when it is written out.
        is_knotted: True if a ``knot`` is in it, so that it cannot be written out.
    """

    keywords: Mapping[str, Any]
    digest: str
    size: int
    is_knotted: bool

    @property
    def refuses_all(self) -> bool:
        """True of the schema ``false``."""
        inner = self.keywords.get("not")
        return isinstance(inner, Term) and not inner.keywords

    def plain(self, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The JSON Schema again, without some keywords of its top."""
        kept = {key: value for key, value in self.keywords.items() if key not in leave_out}
        target = kept.pop("$ref", None)
        if target is not None:
            kept["allOf"] = [target, *kept.get("allOf", [])]
        plain: dict[str, Any] = _plain(kept)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Term):
        return value.plain()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def digest(value: Any) -> str:
    """A digest of keywords: equal only of equals, of ``1`` and ``true`` a different one."""
    text = json.dumps(value, sort_keys=True, default=lambda term: [term.digest])
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _made(keywords: Mapping[str, Any]) -> Term:
    terms: list[Term] = []
    size = sum(_measured(value, terms) for value in keywords.values()) + 1
    is_knotted = "knot" in keywords or any(term.is_knotted for term in terms)
    return Term(keywords, digest(keywords), size, is_knotted)


def _measured(value: Any, terms: list[Term]) -> int:
    """How many values there are in one, whose terms are noted."""
    if isinstance(value, Term):
        terms.append(value)
        return value.size
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + sum(_measured(one, terms) for one in inner)
    return 1


ANY: Final = _made({})
NONE: Final = _made({"not": ANY})


def read_term(document: dict[str, Any]) -> Term:
    """The term of a valid JSON Schema 2020-12 whose references stay in the document."""
    return _Reader(document).term(document)


class _Reader:
    """Follows the references of one document, each target once."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._known: dict[str, Term] = {}
        self._open: list[str] = []

    def term(self, schema: Any) -> Term:
        if isinstance(schema, bool):
            return ANY if schema else NONE
        keywords: dict[str, Any] = {}
        for key, value in schema.items():
            if key == "$ref":
                keywords[key] = self._target(value)
            elif key in _SINGLE:
                keywords[key] = self.term(value)
            elif key in _LISTS:
                keywords[key] = [self.term(inner) for inner in value]
            elif key in _NAMED:
                keywords[key] = {
                    name: inner if isinstance(inner, list) else self.term(inner)
                    for name, inner in value.items()
                }
            elif key in _DATA:
                keywords[key] = value
        if keywords.keys() == {"$ref"}:
            target: Term = keywords["$ref"]
            return target
        return _made(_enumerated(keywords))

    def _target(self, pointer: str) -> Term:
        if pointer not in self._known:
            if pointer in self._open or len(self._open) >= MAX_REFERENCES:
                return _made({"knot": self._unfollowed(pointer)})
            target = _find(self._document, pointer)
            if not isinstance(target, (dict, bool)):
                return _made({"knot": [pointer, self._document]})
            self._open.append(pointer)
            self._known[pointer] = self.term(target)
            self._open.pop()
        return self._known[pointer]

    def _unfollowed(self, pointer: str) -> dict[str, Any]:
        """Everything that a reference reaches, as it is written: its meaning, whatever that is."""
        reached: dict[str, Any] = {}
        todo = [pointer]
        while todo:
            at = todo.pop()
            if at in reached:
                continue
            nodes = [_find(self._document, at)]
            reached[at] = nodes[0]
            while nodes:
                node = nodes.pop()
                if isinstance(node, dict):
                    todo += [node["$ref"]] if isinstance(node.get("$ref"), str) else []
                    nodes += node.values()
                elif isinstance(node, list):
                    nodes += node
        return {"at": pointer, "reached": reached}


def _enumerated(keywords: dict[str, Any]) -> dict[str, Any]:
    """Alternatives that are one text each, as they are written to describe each: an ``enum``."""
    for key in ("oneOf", "anyOf"):
        options = keywords.get(key, [])
        texts = [term.keywords.get("const") for term in options if len(term.keywords) == 1]
        if not all(isinstance(text, str) for text in texts):
            continue
        if len(set(texts)) == len(options) > 0 and not keywords.keys() & {"enum", "const"}:
            rest = {name: value for name, value in keywords.items() if name != key}
            return {**rest, "enum": texts}
    return keywords


def _find(document: Any, pointer: str) -> Any:
    """What stands at a pointer of a document's fragment; None if nothing does."""
    node = document
    for step in pointer.removeprefix("#").split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node
