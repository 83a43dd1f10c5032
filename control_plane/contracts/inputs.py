"""Validation of inputs: JSON Schema decides, and every fault is told in words of the field."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

from control_plane.errors import Fault, InvalidInput

MAX_FAULTS: Final = 50
MAX_ECHO: Final = 64
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class InputSchema:
    """The compiled JSON Schema of a contract's inputs.

    Patterns run on a linear-time engine, references leave the document for nowhere, and unknown
    formats are refused when the contract is compiled.
    """

    def __init__(self, schema: dict[str, Any], base: tuple[str, ...] = ("inputs",)) -> None:
        """Compile the schema.

        Args:
            schema: JSON Schema 2020-12.
            base: Where the document stands in the body; fields are named from there.

        Raises:
            ValueError: If it is no valid JSON Schema 2020-12.
        """
        self.schema = schema
        self._base = base
        self._validator = jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(),
            offline=True,
        )
        self._valid = self._validator.is_valid
        properties: dict[str, Any] = schema.get("properties", {})
        self._defaults = {
            name: spec["default"]
            for name, spec in properties.items()
            if isinstance(spec, dict) and "default" in spec
        }

    def accepts(self, inputs: object) -> bool:
        """True if the inputs are valid."""
        return bool(self._valid(inputs))

    def complete(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Valid inputs with the schema's defaults filled in.

        Raises:
            InvalidInput: With every fault, the first 50 of them.
        """
        if not self._valid(inputs):
            raise InvalidInput(self.faults(inputs))
        return self.filled(inputs)

    def filled(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs that are known to be valid, with the defaults filled in."""
        return {**self._defaults, **inputs} if self._defaults else inputs

    def faults(self, inputs: object) -> list[Fault]:
        """Every fault of the inputs, the first 50 of them, by field."""
        faults: list[Fault] = []
        for error in self._validator.iter_errors(inputs):
            faults.extend(_faults(error, self.schema, self._base))
            if len(faults) >= MAX_FAULTS:
                break
        return faults[:MAX_FAULTS]


def field_name(path: Sequence[str | int]) -> str:
    """A path in the notation that clients read: ``rows[0].age``."""
    name = ""
    for step in path:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            name += f".{step}" if name else step
    return name or "inputs"


def pointer(path: Sequence[str | int], base: Sequence[str] = ("inputs",)) -> str:
    """A path within the part of the body at ``base`` as JSON Pointer into the body."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path]
    return "/".join(["", *base, *steps])


def json_type(value: object) -> str:
    """The JSON name of a decoded value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def echo(value: object) -> str | int | float | bool | None:
    """A scalar as it may be shown back: strings shortened to 64 characters, the rest left out."""
    if isinstance(value, str):
        return value if len(value) <= MAX_ECHO else value[: MAX_ECHO - 1] + "…"
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    return None


def _faults(error: Any, schema: dict[str, Any], base: tuple[str, ...]) -> list[Fault]:
    path = list(error.instance_path)
    keyword = error.kind.name
    value = error.kind.value
    if keyword == "required":
        return [_fault([*path, value], base, "is required and missing")]
    if keyword in {"additionalProperties", "unevaluatedProperties"}:
        known = sorted(schema.get("properties", {})) if not path else []
        return [_unknown([*path, str(name)[:MAX_ECHO]], base, known) for name in value]
    issue, facts = _described(keyword, value, error.instance)
    return [_fault(path, base, issue, **facts)]


def _fault(path: list[str | int], base: tuple[str, ...], issue: str, **facts: Any) -> Fault:
    return Fault(field=field_name(path), issue=issue, path=pointer(path, base), **facts)


def _unknown(path: list[str | int], base: tuple[str, ...], known: list[str]) -> Fault:
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    issue = "is not known here" + (f": did you mean {near[0]}?" if near else "")
    return _fault(path, base, issue, allowed=known[:20] or None)


_LENGTHS: Final = {
    "minLength": "is shorter than the minimum length of {} characters",
    "maxLength": "exceeds maximum length of {} characters",
    "minItems": "has fewer than {} items",
    "maxItems": "has more than {} items",
    "minProperties": "has fewer than {} fields",
    "maxProperties": "has more than {} fields",
}
_BOUNDS: Final = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be greater than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "pattern": "must match the pattern {}",
    "format": "must be a valid {}",
    "const": "must be {}",
}


def _described(keyword: str, value: Any, instance: Any) -> tuple[str, dict[str, Any]]:
    """The issue in words, and the facts that go with it."""
    if keyword in _LENGTHS:
        length = len(instance) if isinstance(instance, (str, list, dict)) else None
        return _LENGTHS[keyword].format(value), {"received_length": length}
    if keyword == "type":
        types = value if isinstance(value, list) else [value]
        issue = f"must be of type {' or '.join(str(name) for name in types)}"
        return issue, {"received_type": json_type(instance)}
    if keyword == "enum":
        allowed = list(value)[:20]
        issue = f"must be one of {', '.join(map(_shown, allowed))}"
        return issue, {"received": echo(instance), "allowed": allowed}
    if keyword in _BOUNDS:
        return _BOUNDS[keyword].format(_shown(value)), {"received": echo(instance)}
    return f"violates the schema's {keyword}", {"received": echo(instance)}


def _shown(value: object) -> str:
    """A value of a schema as a reader of JSON writes it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
