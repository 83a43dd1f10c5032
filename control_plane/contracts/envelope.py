"""The part of a request's body that is the same for every model: what is around ``inputs``."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from control_plane.contracts.inputs import InputSchema, json_type
from control_plane.errors import Fault, InvalidInput, MalformedRequest

EXPLAIN: Final[dict[str, Any]] = {
    "enum": [True, False, "simple", "detailed"],
    "default": False,
    "description": "Explain the prediction; true means detailed",
}
_OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "explain": EXPLAIN,
        "async": {
            "type": "boolean",
            "default": False,
            "description": "Answer 202 with a job instead of waiting",
        },
    },
    "additionalProperties": False,
}
WHICH: Final[dict[str, Any]] = {
    "model": {
        "type": "string",
        "maxLength": 63,
        "pattern": "^[a-z][a-z0-9-]*$",
        "description": "Public name of the model, where the path names none",
    },
    "model_version": {
        "type": "string",
        "maxLength": 63,
        "pattern": "^(v(0|[1-9][0-9]{0,5})([.](0|[1-9][0-9]{0,5})){0,2}|[a-z][a-z0-9-]*)$",
        "description": "Exact version (v2.3.1), prefix (v2, v2.3) or alias (stable, latest)",
    },
}
"""The members that choose the model and its version."""
_SCHEMA: Final = InputSchema(
    {
        "type": "object",
        "properties": {**WHICH, "options": _OPTIONS, "inputs": {"type": "object"}},
        "required": ["inputs"],
        "additionalProperties": False,
    },
    base=(),
)


OFFERED_OPTIONS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "explain": {"const": False, "default": False, "description": "Not offered yet"},
        "async": _OPTIONS["properties"]["async"],
    },
    "additionalProperties": False,
}
"""The options as OpenAPI shows them: what is known but not offered is answered 501."""


class Envelope(Struct, frozen=True):
    """A request's body around its inputs.

    Attributes:
        inputs: Not yet validated; an object if there are no faults.
        model: Public name, if the body names one.
        selector: Model version, prefix or alias, if the body names one.
        explain: What the option says.
        faults: What is wrong with the rest of the body.
    """

    inputs: object
    model: str | None = None
    selector: str | None = None
    explain: bool | str = False
    faults: tuple[Fault, ...] = ()


def asks_for_a_job(body: object) -> bool:
    """True if a decoded body has the option ``async``, whatever else is in it."""
    if not isinstance(body, dict):
        return False
    options = body.get("options")
    return isinstance(options, dict) and options.get("async") is True


def read_envelope(body: object) -> Envelope:
    """Read a decoded body.

    Faults of the parts that decide which contract applies are raised at once; those of the
    options are kept, so that they can be told together with those of the inputs.

    Raises:
        MalformedRequest: If the body is no JSON object.
        InvalidInput: If ``model``, ``model_version`` or ``inputs`` is faulty.
    """
    if not isinstance(body, dict):
        raise MalformedRequest(f"The body is a JSON {json_type(body)}; send an object")
    if len(body) == 1 and isinstance(body.get("inputs"), dict):
        return Envelope(body["inputs"])
    faults = tuple(_SCHEMA.faults(body)) if not _SCHEMA.accepts(body) else ()
    if not isinstance(body.get("inputs"), dict) or any(
        fault.path.split("/")[1] in {"model", "model_version"} for fault in faults
    ):
        raise InvalidInput(list(faults))
    options = body.get("options", {})
    sound = options if isinstance(options, dict) and not faults else {}
    return Envelope(
        inputs=body["inputs"],
        model=body.get("model"),
        selector=body.get("model_version"),
        explain=sound.get("explain", False),
        faults=faults,
    )
