"""Validation of inputs: JSON Schema decides, and every fault is told in words of the field."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

from control_plane.errors import Fault, InvalidInput, MalformedRequest

MAX_FAULTS: Final = 50
MAX_ECHO: Final = 64
MAX_SUGGESTIONS: Final = 3
MAX_COMPARED: Final = 100
"""Comparing names is the dearest step of a refusal: few unknown names, against so many known."""
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
        resolved = {name: resolve(spec, schema) for name, spec in properties.items()}
        self._defaults = {
            name: spec["default"] for name, spec in resolved.items() if "default" in spec
        }

    def accepts(self, inputs: object) -> bool:
        """True if the inputs are valid; what is nested too deep to be checked is not."""
        try:
            return bool(self._valid(inputs))
        except ValueError:
            return False

    def complete(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Valid inputs with the schema's defaults filled in.

        Raises:
            InvalidInput: With every fault, the first 50 of them.
        """
        if not self.accepts(inputs):
            raise InvalidInput(self.faults(inputs))
        return self.filled(inputs)

    def filled(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs that are known to be valid, with the defaults filled in."""
        return {**self._defaults, **inputs} if self._defaults else inputs

    def faults(self, inputs: object) -> list[Fault]:
        """Every fault of the inputs, the first 50 of them, by field.

        Raises:
            MalformedRequest: If they are nested deeper than the validator takes, about 250 levels.
        """
        faults: list[Fault] = []
        try:
            for error in self._validator.iter_errors(inputs):
                left = MAX_FAULTS - len(faults)
                faults += _faults(error, self.schema, self._base, left)
                if len(faults) >= MAX_FAULTS:
                    break
        except ValueError:
            raise MalformedRequest("The body is nested too deep") from None
        return faults


def resolve(spec: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its local references followed, at most 16 of them; empty if they lead nowhere.

    Args:
        spec: The schema of a property.
        schema: The document that the references are relative to.
    """
    for _ in range(16):
        if not isinstance(spec, dict) or "$ref" not in spec:
            break
        target: Any = schema
        for step in str(spec["$ref"]).removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, dict) else None
        beside = {key: value for key, value in spec.items() if key != "$ref"}
        spec = {**target, **beside} if isinstance(target, dict) else beside
    return spec if isinstance(spec, dict) else {}


def field_name(path: Sequence[str | int]) -> str:
    """A path in the notation that clients read: ``rows[0].age``."""
    name = ""
    for step in path:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            name += f".{step[:MAX_ECHO]}" if name else step[:MAX_ECHO]
    return name or "inputs"


def pointer(path: Sequence[str | int], base: Sequence[str] = ("inputs",)) -> str:
    """A path within the part of the body at ``base`` as JSON Pointer into the body."""
    steps = [str(step)[:MAX_ECHO].replace("~", "~0").replace("/", "~1") for step in path]
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


def _faults(error: Any, schema: dict[str, Any], base: tuple[str, ...], most: int) -> list[Fault]:
    path = list(error.instance_path)
    keyword = error.kind.name
    value = error.kind.value
    if keyword == "required":
        return [_fault([*path, value], base, "is required and missing")]
    if keyword in {"additionalProperties", "unevaluatedProperties"}:
        known = sorted(schema.get("properties", {})) if not path else []
        return [
            _unknown([*path, str(name)], base, known, suggest=number < MAX_SUGGESTIONS)
            for number, name in enumerate(value[:most])
        ]
    issue, facts = _described(keyword, value, error.instance)
    return [_fault(path, base, issue, **facts)]


def _fault(path: list[str | int], base: tuple[str, ...], issue: str, **facts: Any) -> Fault:
    return Fault(field=field_name(path), issue=issue, path=pointer(path, base), **facts)


def _unknown(
    path: list[str | int], base: tuple[str, ...], known: list[str], *, suggest: bool
) -> Fault:
    name = str(path[-1])[:MAX_ECHO]
    near = difflib.get_close_matches(name, known[:MAX_COMPARED], n=1) if suggest else []
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
