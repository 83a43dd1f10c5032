"""Whether one JSON Schema accepts every value that another accepts, and where it does not.

The question is hard for all of JSON Schema (Habib et al., "Finding data compatibility bugs with
JSON subschema checks", ISSTA 2021). Here each keyword of the schema that is to accept more is shown
to follow from the other schema, by rules that never call a narrower schema wider: what they cannot
show is a gap that says so.
"""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs
from msgspec import Struct

from control_plane.contracts.compatibility.facts import Facts, cases, identity
from control_plane.contracts.compatibility.keywords import Difference, differences, listed
from control_plane.contracts.compatibility.terms import ANY, Term

MAX_STEPS: Final = 500_000
"""Values held against a schema; to compare schemas counts as ten, and one for each known."""
MAX_GAPS: Final = 200
MAX_SIZE: Final = 100_000
"""Values of a schema that is compiled to hold listed values against it."""
_TOO_MUCH: Final = Difference(
    "a schema", "one that differs in more than can be compared", is_shown=False
)
_APART: Final = frozenset({"$ref", "allOf", "enum", "const"})


class Gap(Struct, frozen=True, order=True):
    """A place where a schema may refuse what another accepts.

    Attributes:
        where: JSON Pointer into the schema that refuses, references followed.
        difference: What the other schema says there, and what this one says.
    """

    where: str
    difference: Difference


def gaps(old: list[Term], new: Term, where: str) -> list[Gap]:
    """Every place where a schema may refuse what others, which hold together, accept.

    If there is none, every value that is valid by all of ``old`` is valid by ``new``. Time is
    bounded: schemas that are too large end in a gap that says so, after at most 200 others.

    Args:
        old: What the values are known to be valid by.
        new: What they are held against.
        where: JSON Pointer of ``new``.
    """
    search = _Search()
    try:
        search.compare(old, new, where)
    except _TooMuch:
        search.gap(where, _TOO_MUCH)
    return search.found


class _TooMuch(Exception):
    """The schemas are too large, or too different, to be compared to the end."""


class _Search:
    """One search, with what it has shown so far and what it may still spend."""

    def __init__(self) -> None:
        self.found: list[Gap] = []
        self._shown: set[tuple[tuple[str, ...], str]] = set()
        self._left = MAX_STEPS

    def gap(self, where: str, difference: Difference) -> None:
        """Note a gap once: alternatives may have it in common."""
        found = Gap(where, difference)
        if found not in self.found:
            self.found.append(found)

    def compare(self, old: list[Term], new: Term, where: str) -> None:
        """Hold a schema against others, in each of the ways in which they can be fulfilled."""
        known = tuple(term.digest for term in old)
        if new.digest in {ANY.digest, *known} or (known, new.digest) in self._shown:
            return
        before = len(self.found)
        for case in cases(old):
            self._hold(Facts(case), new, where)
        if len(self.found) == before:
            self._shown.add((known, new.digest))

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0 or len(self.found) >= MAX_GAPS:
            raise _TooMuch

    def _hold(self, facts: Facts, new: Term, where: str) -> None:
        self._spend(10 + len(facts.terms))
        if facts.accepts_none or new.digest in facts.digests:
            return
        if new.refuses_all:
            self.gap(where, Difference("accepted", "refused, whatever it is"))
            return
        if "$ref" in new.keywords:
            self._hold(facts, new.keywords["$ref"], where)
        for index, part in enumerate(new.keywords.get("allOf", [])):
            self._hold(facts, part, f"{where}/allOf/{index}")
        if facts.values is not None:
            self._values(facts.values, new, where)
            return
        for keyword, difference in differences(facts, new.keywords):
            self.gap(f"{where}/{keyword}", difference)
        if "anyOf" in new.keywords:
            self._any(facts, new.keywords["anyOf"], f"{where}/anyOf")
        if "object" in facts.kinds:
            self._fields(facts, new, where)
        if "array" in facts.kinds:
            self._items(facts, new, where)

    def _values(self, values: list[Any], new: Term, where: str) -> None:
        """Hold listed values against the schema itself, but for what is held apart."""
        self._spend(len(values))
        if new.is_knotted or new.size > MAX_SIZE:
            self.gap(where, Difference("listed values", "a large schema", is_shown=False))
            return
        accepted = _validator(new).is_valid
        kept = [value for value in values if accepted(value)]
        lists = [new.keywords["enum"]] if "enum" in new.keywords else []
        lists += [[new.keywords["const"]]] if "const" in new.keywords else []
        for each in lists:
            known = {identity(value) for value in each}
            kept = [value for value in kept if identity(value) in known]
        if len(kept) == len(values):
            return
        known = {identity(value) for value in kept}
        refused = listed([value for value in values if identity(value) not in known])
        place = f"{where}/enum" if "enum" in new.keywords else where
        self.gap(place, Difference(f"open to {refused}", f"closed to {refused}"))

    def _any(self, facts: Facts, options: list[Term], where: str) -> None:
        """Show that one of the alternatives follows."""
        found = self.found
        for option in options:
            self.found = []
            try:
                self._hold(facts, option, where)
                follows = not self.found
            finally:
                self.found = found
            if follows:
                return
        now = "alternatives of which none takes it all"
        self.gap(where, Difference("a schema", now, is_shown=False))

    def _fields(self, facts: Facts, new: Term, where: str) -> None:
        named = new.keywords.get("properties", {})
        further = new.keywords.get("additionalProperties", ANY)
        for name in sorted(named.keys() | (facts.names if further is not ANY else set())):
            step = name.replace("~", "~0").replace("/", "~1")
            field = f"{where}/properties/{step}"
            old = facts.field(name)
            if name not in named and further.refuses_all:
                self._gone(old, field)
            else:
                self.compare(old, named.get(name, further), field)
        self.compare(facts.field(None), further, f"{where}/additionalProperties")

    def _gone(self, old: list[Term], where: str) -> None:
        if any(not Facts(case).accepts_none for case in cases(old)):
            remedy = "Keep it, optional and with `deprecated: true`, even if it has no effect"
            self.gap(
                where,
                Difference("a known field", "an unknown one, which is refused", remedy=remedy),
            )

    def _items(self, facts: Facts, new: Term, where: str) -> None:
        first = new.keywords.get("prefixItems", [])
        rest = new.keywords.get("items", ANY)
        most = facts.most("maxItems")
        known = max([len(first), *map(len, facts.all("prefixItems"))])
        for index in range(int(min(known, most))):
            place = f"prefixItems/{index}" if index < len(first) else "items"
            item = first[index] if index < len(first) else rest
            self.compare(facts.item(index), item, f"{where}/{place}")
        if most > known:
            self.compare(facts.item(known), rest, f"{where}/items")


def _validator(new: Term) -> Any:
    return jsonschema_rs.Draft202012Validator(
        new.plain(_APART),
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),
        offline=True,
    )
