"""Keyword by keyword: what of a schema follows from the facts that are known of a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from control_plane.contracts.compatibility.facts import FRACTION, KINDS, Bound, Facts, kinds
from control_plane.contracts.compatibility.terms import digest

MAX_NAMED: Final = 5
MAX_LENGTH: Final = 60


class Difference(Struct, frozen=True):
    """What was said and what is, where the second does not follow from the first.

    Attributes:
        was: What is known, in words.
        now: What is asked for.
        is_shown: False if it may follow all the same.
        remedy: What to do about it, if there is more to say than to undo it.
    """

    was: str
    now: str
    is_shown: bool = True
    remedy: str = ""


Rule = Callable[[Facts, Mapping[str, Any]], Difference | None]


def listed(values: Iterable[Any]) -> str:
    """The first five values as JSON, and how many more there are."""
    every = list(values)
    named = [shown(value) for value in every[:MAX_NAMED]]
    more = f" and {len(every) - MAX_NAMED} more" if len(every) > MAX_NAMED else ""
    return ", ".join(named) + more


def shown(value: Any) -> str:
    """A value of a schema as JSON, shortened to 60 characters."""
    try:
        text = msgspec.json.encode(value).decode()
    except (OverflowError, msgspec.MsgspecError):
        text = str(value)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def _type(facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    missing = facts.kinds - kinds(keywords["type"])
    if not missing:
        return None
    words = _named(missing)
    return Difference(f"open to {words}", f"closed to {words}")


def _listed(keyword: str, facts: Facts, keywords: Mapping[str, Any]) -> Difference:
    values = keywords[keyword] if keyword == "enum" else [keywords[keyword]]
    return Difference(f"any {_named(facts.kinds)}", f"nothing but {listed(values)}")


def _named(found: frozenset[str]) -> str:
    if found == KINDS:
        return "value"
    if {FRACTION, "integer"} <= found:
        found = found - {FRACTION, "integer"} | {"number"}
    return " or ".join(sorted(found, key=lambda kind: (kind == FRACTION, kind)))


def _lower(keyword: str, facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    asked = Bound(keywords[keyword], keyword == "exclusiveMinimum")
    if facts.lower >= asked:
        return None
    return Difference(
        _end(facts.lower, "more than", "at least"), _end(asked, "more than", "at least")
    )


def _upper(keyword: str, facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    asked, known = Bound(keywords[keyword], keyword == "exclusiveMaximum"), facts.upper
    if (known.limit, not known.is_open) <= (asked.limit, not asked.is_open):
        return None
    return Difference(_end(known, "less than", "at most"), _end(asked, "less than", "at most"))


def _end(end: Bound, opened: str, closed: str) -> str:
    if abs(end.limit) == float("inf"):
        return "without a limit"
    return f"{opened if end.is_open else closed} {shown(end.limit)}"


def _least(keyword: str, unit: str, facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    known, asked = facts.least(keyword), keywords[keyword]
    if known >= asked:
        return None
    return Difference(f"at least {shown(known)} {unit}", f"at least {shown(asked)} {unit}")


def _most(keyword: str, unit: str, facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    known, asked = facts.most(keyword), keywords[keyword]
    if known <= asked:
        return None
    was = "without a limit" if known == float("inf") else f"at most {shown(known)} {unit}"
    return Difference(was, f"at most {shown(asked)} {unit}")


def _multiple(facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    asked, known = keywords["multipleOf"], facts.all("multipleOf")
    if any(step == asked or _is_whole(step, asked) for step in known):
        return None
    if asked == 1 and FRACTION not in facts.kinds:
        return None
    was = f"multiples of {listed(known)}" if known else "numbers of any step"
    return Difference(was, f"multiples of {shown(asked)}", is_shown=not known)


def _is_whole(step: float, asked: float) -> bool:
    return isinstance(step, int) and isinstance(asked, int) and step % asked == 0


def _same_text(keyword: str, facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    asked, known = keywords[keyword], facts.all(keyword)
    if asked in known:
        return None
    was = f"{keyword} {listed(known)}" if known else f"no {keyword}"
    return Difference(was, f"{keyword} {shown(asked)}", is_shown=not known)


def _unique(facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    if not keywords["uniqueItems"] or any(facts.all("uniqueItems")) or facts.most("maxItems") <= 1:
        return None
    return Difference("open to equal items", "closed to equal items")


def _required(facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    missing = [name for name in keywords["required"] if name not in facts.required]
    if not missing:
        return None
    remedy = "Leave it optional; what a tensor needs can have a default"
    return Difference(f"{listed(missing)} optional", f"{listed(missing)} required", remedy=remedy)


def _same(group: tuple[str, ...], facts: Facts, keywords: Mapping[str, Any]) -> Difference | None:
    asked = digest({key: keywords[key] for key in group if key in keywords})
    for term in facts.terms:
        known = {key: term.keywords[key] for key in group if key in term.keywords}
        if known and digest(known) == asked:
            return None
    name = "$ref" if group[0] == "knot" else group[0]
    was = f"another `{name}`" if facts.all(group[0]) else f"no `{name}`"
    return Difference(was, f"a `{name}` that is not taken apart", is_shown=False)


_OPAQUE: Final[dict[tuple[str, ...], str]] = {
    ("oneOf",): "any", ("not",): "any", ("if", "then", "else"): "any", ("knot",): "any",
    ("contains", "minContains", "maxContains"): "array",
    ("patternProperties",): "object", ("propertyNames",): "object", ("dependentSchemas",): "object",
    ("dependentRequired",): "object", ("dependencies",): "object",
}  # fmt: skip
"""Keywords that only follow from themselves."""
_CONTEXTUAL: Final = {"unevaluatedItems": "array", "unevaluatedProperties": "object"}
"""Keywords whose meaning depends on all others: they do not even follow from themselves."""


def _never(name: str, _facts: Facts, _keywords: Mapping[str, Any]) -> Difference:
    return Difference("a different schema", f"`{name}`, which is not taken apart", is_shown=False)


RULES: Final[dict[str, tuple[str, Rule]]] = {
    "type": ("any", _type),
    **{name: ("any", partial(_listed, name)) for name in ("enum", "const")},
    **{name: ("number", partial(_lower, name)) for name in ("minimum", "exclusiveMinimum")},
    **{name: ("number", partial(_upper, name)) for name in ("maximum", "exclusiveMaximum")},
    "multipleOf": ("number", _multiple),
    "minLength": ("string", partial(_least, "minLength", "characters")),
    "maxLength": ("string", partial(_most, "maxLength", "characters")),
    **{name: ("string", partial(_same_text, name)) for name in ("pattern", "format")},
    "minItems": ("array", partial(_least, "minItems", "items")),
    "maxItems": ("array", partial(_most, "maxItems", "items")),
    "uniqueItems": ("array", _unique),
    "minProperties": ("object", partial(_least, "minProperties", "fields")),
    "maxProperties": ("object", partial(_most, "maxProperties", "fields")),
    "required": ("object", _required),
    **{group[0]: (kind, partial(_same, group)) for group, kind in _OPAQUE.items()},
    **{name: (kind, partial(_never, name)) for name, kind in _CONTEXTUAL.items()},
}
"""By keyword: the kind of values that it is about, and what makes it follow."""


def differences(facts: Facts, keywords: Mapping[str, Any]) -> list[tuple[str, Difference]]:
    """The keywords that do not follow, of those that need no look at inner schemas."""
    found = []
    for keyword, (kind, rule) in RULES.items():
        if keyword not in keywords or (kind != "any" and not kinds(kind) & facts.kinds):
            continue
        difference = rule(facts, keywords)
        if difference is not None:
            found.append(("$ref" if keyword == "knot" else keyword, difference))
    return found
