"""What several schemas that hold together say of a value.

To leave something out is sound here: a value of which less is known may be more.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from math import ceil, floor, inf
from typing import Any, Final, NamedTuple

from control_plane.contracts.compatibility.terms import NONE, Term

MAX_CASES: Final = 32
"""Alternatives are taken one by one, unless they multiply to more than this."""
MAX_INTEGERS: Final = 256
"""A range of no more integers than this is a list."""
FRACTION: Final = "number that is no integer"
KINDS: Final = frozenset({"null", "boolean", "object", "array", "string", "integer", FRACTION})
_KINDS: Final[dict[type, str]] = {
    str: "string", int: "integer", float: "integer", bool: "boolean", type(None): "null",
    list: "array", dict: "object",
}  # fmt: skip
Case = tuple[Term, ...]


class Bound(NamedTuple):
    """An end of a range of numbers."""

    limit: float
    is_open: bool


def kinds(names: str | list[str]) -> frozenset[str]:
    """The kinds of values of JSON Schema's ``type``; numbers are integers and others."""
    listed = [names] if isinstance(names, str) else names
    return frozenset(
        kind for name in listed for kind in (("integer", FRACTION) if name == "number" else (name,))
    )


def kind_of(value: object) -> str:
    """The kind of a value."""
    if isinstance(value, float) and not value.is_integer():
        return FRACTION
    return _KINDS[type(value)]


def identity(value: Any) -> Any:
    """Something hashable that is equal of two values if and only if JSON Schema calls them so."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return ("array", tuple(identity(inner) for inner in value))
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(inner)) for key, inner in value.items()))
    return value


def together(term: Term) -> list[Term]:
    """A schema and those that hold with it: the target of its reference, and ``allOf``."""
    found, todo = [], [term]
    while todo:
        part = todo.pop()
        found.append(part)
        todo += part.keywords.get("allOf", [])
        todo += [part.keywords["$ref"]] if "$ref" in part.keywords else []
    return found


def cases(terms: Iterable[Term]) -> list[Case]:
    """The ways in which a value can be valid; each is a list of schemas that hold together.

    ``anyOf`` and ``oneOf`` are taken apart while there are at most 32 ways.
    """
    parts = [part for term in terms for part in together(term)]
    found = [tuple(parts)]
    for part in parts:
        for key in ("anyOf", "oneOf"):
            if key not in part.keywords:
                continue
            ways = [way for option in part.keywords[key] for way in cases([option])]
            if len(found) * len(ways) <= MAX_CASES:
                found = [(*left, *right) for left in found for right in ways]
    return found


class Facts:
    """What schemas that hold together say."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = tuple(terms)
        self.digests = frozenset(term.digest for term in self.terms)

    def all(self, keyword: str) -> list[Any]:
        """What they say of a keyword."""
        return [term.keywords[keyword] for term in self.terms if keyword in term.keywords]

    @property
    def accepts_none(self) -> bool:
        """True if no value is valid."""
        return not self.kinds or self.values == []

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of values that can be valid."""
        if any(term.refuses_all for term in self.terms):
            return frozenset()
        return KINDS.intersection(*(kinds(names) for names in self.all("type")))

    @cached_property
    def values(self) -> list[Any] | None:
        """The values that can be valid, if they are listed."""
        lists = [*self.all("enum"), *([value] for value in self.all("const"))]
        if self.kinds <= {"null", "boolean"}:
            lists.append([None, True, False])
        lists += self._integers()
        if not lists:
            return None
        first, *others = sorted(lists, key=len)
        found = [value for value in first if kind_of(value) in self.kinds]
        for other in others:
            known = {identity(value) for value in other}
            found = [value for value in found if identity(value) in known]
        return found

    def _integers(self) -> list[list[int]]:
        low, high = self.lower.limit, self.upper.limit
        if self.kinds != {"integer"} or not isinstance(low, int) or not isinstance(high, int):
            return []
        return [list(range(low, high + 1))] if high - low < MAX_INTEGERS else []

    @property
    def lower(self) -> Bound:
        """The least number."""
        ends = [Bound(limit, is_open=False) for limit in self.all("minimum")]
        ends += [Bound(limit, is_open=True) for limit in self.all("exclusiveMinimum")]
        end = max(ends, default=Bound(-inf, is_open=False))
        if FRACTION in self.kinds or end.limit == -inf:
            return end
        return Bound(floor(end.limit) + 1 if end.is_open else ceil(end.limit), is_open=False)

    @property
    def upper(self) -> Bound:
        """The greatest number."""
        ends = [Bound(limit, is_open=False) for limit in self.all("maximum")]
        ends += [Bound(limit, is_open=True) for limit in self.all("exclusiveMaximum")]
        end = min(ends, default=Bound(inf, is_open=False), key=lambda end: (end[0], not end[1]))
        if FRACTION in self.kinds or end.limit == inf:
            return end
        return Bound(ceil(end.limit) - 1 if end.is_open else floor(end.limit), is_open=False)

    @property
    def required(self) -> frozenset[str]:
        """The fields that an object has."""
        return frozenset(name for names in self.all("required") for name in names)

    def least(self, keyword: str) -> float:
        """The size that ``minLength``, ``minItems`` or ``minProperties`` asks for."""
        sizes: list[float] = [0, *self.all(keyword)]
        if keyword == "minProperties":
            sizes.append(len(self.required))
        return max(sizes)

    def most(self, keyword: str) -> float:
        """The size that ``maxLength``, ``maxItems`` or ``maxProperties`` leaves."""
        sizes: list[float] = [inf, *self.all(keyword)]
        for term in self.terms:
            if keyword == "maxItems" and _refuses(term, "items"):
                sizes.append(len(term.keywords.get("prefixItems", ())))
            if keyword == "maxProperties" and _refuses(term, "additionalProperties"):
                patterns = term.keywords.get("patternProperties")
                sizes += [] if patterns else [len(term.keywords.get("properties", ()))]
        return min(sizes)

    @property
    def names(self) -> set[str]:
        """The fields that are named."""
        return {name for properties in self.all("properties") for name in properties}

    def field(self, name: str | None) -> list[Term]:
        """The schemas of a field; None for any that is not named."""
        found = []
        for term in self.terms:
            named = term.keywords.get("properties", {})
            if name in named:
                found.append(named[name])
            elif "additionalProperties" in term.keywords:
                further = "patternProperties" in term.keywords
                found += [] if further else [term.keywords["additionalProperties"]]
        return found

    def item(self, index: int) -> list[Term]:
        """The schemas of an array's item."""
        found = []
        for term in self.terms:
            first = term.keywords.get("prefixItems", [])
            if index < len(first):
                found.append(first[index])
            elif "items" in term.keywords:
                found.append(term.keywords["items"])
        return found


def _refuses(term: Term, keyword: str) -> bool:
    inner = term.keywords.get(keyword)
    return isinstance(inner, Term) and inner.digest == NONE.digest
