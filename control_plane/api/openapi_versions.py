"""What a model version takes and gives, as schemas of the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import OFFERED_OPTIONS
from control_plane.contracts.streams import job_answer
from control_plane.web.openapi import REQUEST_ID, Schema, closed_object, ref


def job_schemas(compiled: CompiledContract) -> Schema:
    """What jobs that name an object take and give."""
    stream, of_jobs = compiled.stream, compiled.job_inputs
    if stream is None or of_jobs is None:
        return {}
    name = schema_name(compiled, "ObjectInputs")
    return {
        name: _rebased(of_jobs.schema, f"#/components/schemas/{name}"),
        schema_name(compiled, "ObjectAnswer"): closed_object(
            job_answer(stream, compiled.answers.kind)
        ),
    }


def version_schemas(compiled: CompiledContract, names: list[str]) -> Schema:
    """The request and both answers of a version.

    Args:
        compiled: Its contract.
        names: What a request may call it.
    """
    flat, data = compiled.answers.kind.schemas()
    inputs = _rebased(
        compiled.inputs.schema, f"#/components/schemas/{schema_name(compiled, 'Inputs')}"
    )
    model, version = compiled.ref.name, str(compiled.ref.version)
    return {
        schema_name(compiled, "Inputs"): inputs,
        schema_name(compiled, "Request"): {
            "type": "object",
            "properties": {
                "model": {"const": model, "description": "Where the path names no model"},
                "model_version": {"enum": names, "description": "Version, prefix or alias"},
                "options": OFFERED_OPTIONS,
                "inputs": ref(schema_name(compiled, "Inputs")),
            },
            "required": ["inputs"],
            "additionalProperties": False,
        },
        schema_name(compiled, "AnswerV1"): closed_object(
            {
                **flat,
                "model": {"const": model},
                "model_version": {"const": version},
                "request_id": REQUEST_ID,
            }
        ),
        schema_name(compiled, "AnswerV2"): closed_object(
            {
                "data": closed_object(data),
                "model": closed_object(
                    {
                        "name": {"const": model},
                        "version": {"const": version},
                        "rollout": {"type": ["string", "null"]},
                    }
                ),
                "usage": closed_object({"units": {"type": "integer", "minimum": 0}}),
                "timing": closed_object(dict.fromkeys(_STAGES, _MILLISECONDS)),
                "warnings": {
                    "type": "array",
                    "items": closed_object(
                        {"code": {"type": "string"}, "message": {"type": "string"}}
                    ),
                },
                "request_id": REQUEST_ID,
            }
        ),
    }


_MILLISECONDS: Final = {"type": "number", "minimum": 0}
_STAGES: Final = ("admission_ms", "queue_ms", "inference_ms")


def _rebased(node: Any, base: str) -> Any:
    """A schema whose local references hold in their new place."""
    if isinstance(node, dict):
        return {
            key: base + value.removeprefix("#")
            if key in {"$ref", "$dynamicRef"} and isinstance(value, str)
            else _rebased(value, base)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_rebased(item, base) for item in node]
    return node


def schema_name(compiled: CompiledContract, part: str) -> str:
    """The name of a part of a version among the document's schemas."""
    return f"{compiled.ref.name}.{compiled.ref.version}.{part}"
