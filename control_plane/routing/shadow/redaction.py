"""What is kept of the inputs of a request: of all of them their form, of few their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from control_plane.sealing import Sealer

MAX_INPUTS: Final = 64
"""Inputs of one request that are told of."""
MAX_KEPT_BYTES: Final = 2048
"""JSON of one value that is kept; a longer one is left out."""

Kept = Literal["no", "yes", "too_long", "unreadable"]

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string",
                 list: "array", tuple: "array", dict: "object", type(None): "null"}  # fmt: skip


class StoredInput(Struct, frozen=True, omit_defaults=True):
    """An input as it is stored.

    Attributes:
        name: Of the input.
        type: Its JSON type.
        length: Characters, items or members; None of a scalar.
        kept: Whether its value is.
        sealed: Its value's JSON, encrypted with the data key; empty if it is not kept.
    """

    name: str
    type: str
    length: int | None = None
    kept: Kept = "no"
    sealed: str = ""


def redact(
    inputs: Mapping[str, Any], keep: Collection[str], sealer: Sealer, place: str
) -> list[StoredInput]:
    """The inputs with no value but those that are to be kept, and these encrypted.

    Args:
        inputs: By name.
        keep: Names of those whose values are kept.
        sealer: Encrypts.
        place: Where they will be stored.
    """
    names = list(inputs)[:MAX_INPUTS]
    return [
        _kept(name, inputs[name], sealer, place) if name in keep else _form(name, inputs[name])
        for name in names
    ]


def _form(name: str, value: Any, kept: Kept = "no", sealed: str = "") -> StoredInput:
    length = len(value) if isinstance(value, str | list | tuple | dict) else None
    return StoredInput(name, _TYPES.get(type(value), "unknown"), length, kept, sealed)


def _kept(name: str, value: Any, sealer: Sealer, place: str) -> StoredInput:
    # A large value is found to be one without writing all of it.
    text = msgspec.json.encode(value) if _parts(value) <= MAX_KEPT_BYTES else b""
    if not text or len(text) > MAX_KEPT_BYTES:
        return _form(name, value, "too_long")
    return _form(name, value, "yes", sealer.seal(text, input_place(place, name)))


def _parts(value: Any) -> int:
    """Characters and values of a value, counted until they are more than may be kept."""
    parts, waiting = 0, [value]
    while waiting and parts <= MAX_KEPT_BYTES:
        found = waiting.pop()
        if isinstance(found, str):
            parts += len(found)
        elif isinstance(found, dict | list | tuple):
            parts += len(found)
            if parts <= MAX_KEPT_BYTES:
                waiting += [*found, *found.values()] if isinstance(found, dict) else found
        else:
            parts += 1
    return parts


def input_place(place: str, name: str) -> str:
    """The place that an input's value is sealed for."""
    return f"{place}|{name}"
