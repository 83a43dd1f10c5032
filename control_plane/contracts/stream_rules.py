"""What makes the section ``stream`` of a contract faulty, each fault with its remedy."""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs

from control_plane.contracts.document import Contract, StreamSpec, TensorSpec
from control_plane.contracts.inputs import InputSchema, resolve
from control_plane.contracts.source import Source
from control_plane.contracts.streams import ANSWERS, FILLED, OPTIONS, job_schema
from control_plane.types import FileFault

_PLAIN: Final = frozenset(
    {"type", "properties", "required", "$defs", "additionalProperties", "$schema", "description"}
)
MAX_PART: Final = 100_000
"""Longest part of a text, characters: parts are held in memory."""


def stream_faults(source: Source, contract: Contract, schema: dict[str, Any]) -> list[FileFault]:
    """What is wrong with the stream, given the closed schema of the inputs."""
    stream = contract.stream
    if stream is None:
        if contract.answer.kind == "segments":
            remedy = "Add `stream`: segments are those of an object"
            return [source.fault(["answer", "kind"], "kind segments has no stream", remedy)]
        return []
    faults = _object_faults(source, stream, schema)
    wanted = ANSWERS[stream.reader]
    if contract.answer.kind != wanted:
        message = f"reader {stream.reader} goes with answers of kind {wanted}"
        faults.append(source.fault(["stream", "reader"], message, "Use another reader or kind"))
    if FILLED[stream.reader]:
        faults += _filled_faults(source, contract, stream, schema)
    else:
        faults += _into_faults(source, stream, schema)
    return faults or _schema_faults(source, stream, schema)


def _object_faults(source: Source, stream: StreamSpec, schema: dict[str, Any]) -> list[FileFault]:
    faults = []
    if stream.object in schema["properties"]:
        message = f"{stream.object} is an input already"
        faults.append(source.fault(["stream", "object"], message, "Use a name of its own"))
    if len(set(stream.media_types)) != len(stream.media_types):
        message = "a media type stands twice"
        faults.append(source.fault(["stream", "media_types"], message, "Name each once"))
    return faults


def _into_faults(source: Source, stream: StreamSpec, schema: dict[str, Any]) -> list[FileFault]:
    """Faults of the input that parts of a text become."""
    if stream.into is None:
        remedy = "Add `into`: the input that a sentence becomes"
        return [source.fault(["stream"], f"reader {stream.reader} fills nothing", remedy)]
    found = schema["properties"].get(stream.into)
    if found is None:
        known = ", ".join(sorted(schema["properties"]))
        message = f"there is no input {stream.into}"
        return [source.fault(["stream", "into"], message, f"Inputs are: {known}")]
    faults = []
    spec = resolve(found, schema)
    length = spec.get("maxLength")
    is_text = spec.get("type") == "string" and not spec.keys() & {"enum", "const"}
    if not is_text or not isinstance(length, int) or not 1 <= length <= MAX_PART:
        message = f"{stream.into} is no text of at most {MAX_PART} characters"
        remedy = f"Declare {stream.into}: {{type: string, maxLength: 1000}}"
        faults.append(source.fault(["stream", "into"], message, remedy))
    if further := sorted(schema.keys() - _PLAIN):
        message = (
            f"inputs with {', '.join(further)} may ask for {stream.into}, which jobs leave out"
        )
        remedy = "Say it in `properties` and `required` alone"
        faults.append(source.fault(["inputs", further[0]], message, remedy))
    return faults


def _filled_faults(
    source: Source, contract: Contract, stream: StreamSpec, schema: dict[str, Any]
) -> list[FileFault]:
    """Faults of the tensors that a reader fills itself, and of the inputs that it goes by."""
    filled = FILLED[stream.reader]
    faults = []
    if stream.into is not None:
        message = f"reader {stream.reader} fills the tensors itself"
        faults.append(source.fault(["stream", "into"], message, "Leave `into` out"))
    known = f"Reader {stream.reader} gives: {', '.join(filled)}"
    for name, spec in contract.tensors.items():
        if not isinstance(spec.source, str) or spec.source not in filled:
            message = f"reader {stream.reader} does not give {spec.source}"
            faults.append(source.fault(["tensors", name, "from"], message, known))
        elif not _holds(spec, *filled[spec.source]):
            datatype, shape = filled[spec.source]
            message = f"{spec.source} is {datatype} of the shape {list(shape)} (-1: any length)"
            faults.append(source.fault(["tensors", name], message, "Use that, without a bucket"))
    for name in OPTIONS[stream.reader]:
        option = resolve(schema["properties"].get(name, {}), schema)
        bounded = {"default", "minimum", "maximum"} <= option.keys()
        if not bounded or option.get("type") not in ("number", "integer"):
            message = f"reader {stream.reader} goes by {name}, a number with bounds and a default"
            remedy = f"Declare {name}: {{type: number, minimum: …, maximum: …, default: …}}"
            faults.append(source.fault(["inputs", "properties"], message, remedy))
    sources = [spec.source for spec in contract.tensors.values()]
    for name in filled:
        if sources.count(name) != 1:
            message = f"{name} fills {sources.count(name)} tensors"
            faults.append(source.fault(["tensors"], message, f"Fill one tensor `from: {name}`"))
    return faults


def _holds(spec: TensorSpec, datatype: str, shape: tuple[int, ...]) -> bool:
    fixed = all(size > 0 for size in spec.shape)
    same = len(spec.shape) == len(shape) and all(
        wanted in {-1, size} for wanted, size in zip(shape, spec.shape, strict=True)
    )
    return spec.datatype == datatype and fixed and same and not spec.bucket_bytes


def _schema_faults(source: Source, stream: StreamSpec, schema: dict[str, Any]) -> list[FileFault]:
    try:
        InputSchema(job_schema(schema, stream))
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        message = f"the inputs of its jobs are no valid JSON Schema: {error}"
        return [source.fault(["stream"], message, "Refer to `#/$defs/…` instead of properties")]
    return []
