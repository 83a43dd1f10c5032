"""Whether a request that was valid is valid now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from control_plane.contracts.compatibility.changes import Change
from control_plane.contracts.compatibility.containment import Gap, gaps
from control_plane.contracts.compatibility.facts import Facts, together
from control_plane.contracts.compatibility.keywords import Difference, listed, shown
from control_plane.contracts.compatibility.terms import Term, read_term
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.document import TensorSpec
from control_plane.contracts.inputs import pointer
from control_plane.contracts.tensors import RANGES
from control_plane.errors import InvalidInput, MalformedRequest

_MISSING: Final = object()
OVERFLOWS: Final = {
    "FP16": 65_520,
    "FP32": 2**128 - 2**103,
    "FP64": 2**1024 - 2**970,
}
"""The least number that each rounds to infinity (IEEE 754, round half to even)."""


def request_changes(before: CompiledContract, after: CompiledContract) -> list[Change]:
    """What changes for those who send requests: fields, their ranges, and defaults."""
    old, new = read_term(before.inputs.schema), read_term(after.inputs.schema)
    narrower = gaps([old], new, "/inputs") + _tensor_gaps(before, old, after)
    wider = gaps([new], old, "/inputs") + _tensor_gaps(after, new, before)
    return [
        *map(_narrowed, narrower),
        *_widened(wider, {gap.where for gap in narrower}),
        *_defaults(before, after),
        *_examples(before, after),
    ]


def _narrowed(gap: Gap) -> Change:
    said = gap.difference
    follows, remedy = "Requests that were valid are refused", "Accept at least what was accepted"
    if not said.is_shown:
        follows = "It cannot be shown that every request that was valid still is"
        remedy = "Leave it as it was"
    remedy = said.remedy or remedy
    what = f"Before: {said.was}. Now: {said.now}. {follows}. {remedy}."
    return Change(gap.where, what, breaking=True)


def _widened(wider: list[Gap], narrowed: set[str]) -> Iterator[Change]:
    """What is accepted beyond what was; where that is not known, nothing is said beside a break."""
    for gap in wider:
        said = gap.difference
        if said.is_shown:
            follows = "Requests are valid that were not"
        elif gap.where not in narrowed:
            follows = "There may be requests that are valid and were not"
        else:
            continue
        yield Change(gap.where, f"Before: {said.now}. Now: {said.was}. {follows}.", adds=True)


def _tensor_gaps(before: CompiledContract, schema: Term, after: CompiledContract) -> list[Gap]:
    """Values that the tensors of one contract hold, or nothing had to hold, and another's do not.

    Args:
        before: The contract by whose tensors values were held.
        schema: The schema of its inputs.
        after: The contract by whose tensors they are held.
    """
    facts = Facts(together(schema))
    held: dict[str, list[_Held]] = defaultdict(list)
    for spec in before.contract.tensors.values():
        old = _Held(spec, _range(spec), _shape(spec))
        for field in _fields(spec):
            held[field].append(old)
    known = {name: _Field(name, facts.field(name), held[name]) for name in facts.names}
    found: list[Gap] = []
    for name, spec in after.contract.tensors.items():
        fields = [known[field] for field in _fields(spec) if field in known]
        found += _tensor_gaps_of(fields, spec, pointer([name], ("tensors",)))
    return found


class _Held(NamedTuple):
    """A tensor, and the schemas of the numbers and of the arrays that it holds."""

    spec: TensorSpec
    numbers: Term
    arrays: Term


class _Field(NamedTuple):
    """An input, the schemas of its values, and the tensors that had to hold them."""

    name: str
    schemas: list[Term]
    held: list[_Held]


def _tensor_gaps_of(fields: list[_Field], spec: TensorSpec, where: str) -> Iterator[Gap]:
    misfits = _misfits(fields, _range(spec))
    if misfits:
        was = sorted({str(old.spec.datatype) for field in misfits for old in field.held})
        yield Gap(f"{where}/datatype", _unheld(misfits, was, spec.datatype))
    ragged = [field for field in fields if not _is_even(spec, field.held)]
    misfits = _misfits(fields, _shape(spec)) or ragged
    if misfits:
        was = sorted({str(old.spec.shape) for field in misfits for old in field.held})
        yield Gap(f"{where}/shape", _unheld(misfits, was, str(spec.shape)))


def _misfits(fields: list[_Field], new: Term) -> list[_Field]:
    """The fields that a tensor does not hold; fields of one schema are looked at once."""
    fits: dict[tuple[str, ...], bool] = {}
    found = []
    for field in fields:
        old = field.schemas + [term for held in field.held for term in (held.numbers, held.arrays)]
        digests = tuple(term.digest for term in old)
        if digests not in fits:
            fits[digests] = not gaps(old, new, "")
        if not fits[digests]:
            found.append(field)
    return found


def _unheld(fields: list[_Field], was: list[str], now: str) -> Difference:
    names = listed([field.name for field in fields])
    before = f"a tensor of {' and '.join(was)}" if was else "no tensor"
    remedy = "Use a tensor that holds all that was accepted"
    return Difference(f"{names} in {before}", f"{names} in a tensor of {now}", remedy=remedy)


def _fields(spec: TensorSpec) -> list[str]:
    return spec.source if isinstance(spec.source, list) else [spec.source]


def _range(spec: TensorSpec) -> Term:
    """The numbers that a tensor holds, at any depth of its arrays."""
    limits: dict[str, Any] = {}
    if spec.datatype in OVERFLOWS:
        end = OVERFLOWS[spec.datatype]
        limits = {"exclusiveMinimum": -end, "exclusiveMaximum": end}
    elif spec.datatype in RANGES:
        low, high = RANGES[spec.datatype]
        limits = {"minimum": low, "maximum": high}
    schema = limits
    for _ in spec.shape if isinstance(spec.source, str) else []:
        schema = {**limits, "items": schema}
    return read_term(schema)


def _shape(spec: TensorSpec) -> Term:
    """The arrays that a tensor holds, but for whether they are even."""
    schema: dict[str, Any] = {}
    for length in reversed(spec.shape) if isinstance(spec.source, str) else []:
        schema = {"minItems": max(length, 1), "items": schema}
        if length > 0:
            schema["maxItems"] = length
    return read_term(schema)


def _is_even(spec: TensorSpec, held: list[_Held]) -> bool:
    """True if a tensor's arrays are even by their shape, or had to be before."""
    if not isinstance(spec.source, str) or -1 not in spec.shape[1:]:
        return True
    ranks = {len(old.spec.shape) for old in held if isinstance(old.spec.source, str)}
    return len(spec.shape) in ranks


def _defaults(before: CompiledContract, after: CompiledContract) -> Iterator[Change]:
    old, new = before.inputs.filled({}), after.inputs.filled({})
    kept = before.inputs.schema["properties"].keys() & after.inputs.schema["properties"].keys()
    for name in sorted(kept & (old.keys() | new.keys())):
        was, now = (_default(defaults.get(name, _MISSING)) for defaults in (old, new))
        if was != now:
            what = f"Before: {was}. Now: {now}. Requests without {name} may be answered otherwise."
            yield Change(pointer([name, "default"], ("inputs", "properties")), what)


def _default(value: object) -> str:
    return "no default" if value is _MISSING else f"default {shown(value)}"


def _examples(before: CompiledContract, after: CompiledContract) -> Iterator[Change]:
    """What worked as an example and does not work now: a check of the checks above."""
    for index, example in enumerate(before.contract.examples):
        try:
            after.check(example)
        except InvalidInput as error:
            first = error.faults[0]
            reason = f"{first.field} {first.issue}"
        except MalformedRequest:
            reason = "it is nested too deep"
        else:
            continue
        what = f"Before: example {index} is valid. Now: it is refused, {reason}."
        yield Change(f"/examples/{index}", what, breaking=True)
