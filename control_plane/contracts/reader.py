"""From the text of a ``contract.yaml`` to a :class:`Contract`, naming every fault at once."""

from __future__ import annotations

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
        for error in _errors(source)
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


def _message(error: Any) -> str:
    where = ".".join(str(step) for step in error.instance_path) or "the document"
    text = str(error.message)
    return f"{where}: {text if len(text) <= 300 else text[:297] + '...'}"
