"""From the text of a ``contract.yaml`` to a :class:`Contract`, naming every fault at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import msgspec

from control_plane.contracts.document import Contract, schema
from control_plane.contracts.source import FaultyContract, Source

REMEDY = "docs/contract.md shows what each field takes"


@cache
def _validator() -> Any:
    return jsonschema_rs.Draft202012Validator(schema())


def read_contract(source: Source) -> Contract:
    """Check the document against the contract's shape and convert it.

    Raises:
        FaultyContract: With every fault of shape and range.
    """
    faults = [
        source.fault(list(error.instance_path), _message(error), REMEDY)
        for found in _errors(source)
        for error in _meant(found)
    ]
    if faults:
        raise FaultyContract(sorted(set(faults)))
    try:
        return msgspec.convert(source.data, Contract)
    except msgspec.ValidationError as error:
        raise FaultyContract([source.fault([], str(error), REMEDY)]) from error


def _errors(source: Source) -> list[Any]:
    try:
        return list(_validator().iter_errors(source.data))
    except ValueError as error:
        raise FaultyContract([source.fault([], f"cannot be checked: {error}", REMEDY)]) from error


def _meant(error: Any) -> Iterator[Any]:
    """The faults within an optional section, rather than that it is neither right nor missing."""
    ways = error.kind.context if error.kind.name == "anyOf" else []
    able = [way for way in ways if not any(_is_of_type(inner, error) for inner in way)]
    if len(able) != 1:
        yield error
        return
    for inner in able[0]:
        yield from _meant(inner)


def _is_of_type(inner: Any, outer: Any) -> bool:
    return bool(inner.kind.name == "type" and inner.instance_path == outer.instance_path)


def _message(error: Any) -> str:
    where = ".".join(str(step) for step in error.instance_path) or "the document"
    text = str(error.message)
    return f"{where}: {text if len(text) <= 300 else text[:297] + '...'}"
