"""What makes a contract faulty that its shape alone does not show, each fault with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, Final

import jsonschema_rs

from control_plane.contracts.document import Contract, TensorSpec
from control_plane.contracts.inputs import DIALECT, InputSchema, resolve
from control_plane.contracts.source import Source
from control_plane.contracts.tensors import JSON_TYPES
from control_plane.types import FileFault

Path = list[str | int]
_UNUSED: Final = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef"})
MAX_RANK: Final = 8
MAX_SIZE: Final = 20_000
"""Schemas after references are followed: compiling them takes time in proportion."""
MAX_FOLLOWED: Final = 256
"""Levels of a schema, those that its references lead to included."""
_FREE: Final = frozenset({"number", "integer", "string", "boolean", "array", "object", "null"})
_SCHEMA: Final = "`inputs` is JSON Schema 2020-12"


def input_schema(source: Source, contract: Contract) -> tuple[dict[str, Any], list[FileFault]]:
    """The closed schema of the inputs, and what is wrong with it."""
    schema = {"type": "object", **contract.inputs}
    schema.setdefault("additionalProperties", False)
    faults = [*_closed(source, schema), *_references(source, contract.inputs, ["inputs"])]
    if not faults and _size(schema, schema, {}) > MAX_SIZE:
        message = (
            f"its references multiply to more than {MAX_SIZE} schemas, or lead deeper than "
            f"{MAX_FOLLOWED}"
        )
        faults.append(source.fault(["inputs"], message, "Refer to fewer schemas"))
    if faults:
        return schema, faults
    try:
        jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})
        InputSchema(schema)
    except jsonschema_rs.ValidationError as error:
        path: Path = ["inputs", *error.instance_path]
        return schema, [source.fault(path, f"no valid JSON Schema: {error.message}", _SCHEMA)]
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return schema, [source.fault(["inputs"], f"no valid JSON Schema: {error}", _SCHEMA)]
    return schema, _default_faults(source, schema)


def _closed(source: Source, schema: dict[str, Any]) -> list[FileFault]:
    faults = []
    if schema["type"] != "object":
        faults.append(source.fault(["inputs", "type"], "inputs are an object", "Leave `type` out"))
    if not isinstance(schema.get("properties"), dict) or not schema["properties"]:
        remedy = "Name at least one input under `properties`"
        faults.append(source.fault(["inputs"], "inputs name no properties", remedy))
    if schema["additionalProperties"] is not False:
        path: Path = ["inputs", "additionalProperties"]
        remedy = "Leave it out: what `properties` does not name is refused"
        faults.append(source.fault(path, "additionalProperties opens the inputs", remedy))
    if schema.get("$schema", DIALECT) != DIALECT:
        faults.append(source.fault(["inputs", "$schema"], "another dialect", f"Use {DIALECT}"))
    return faults


def _references(source: Source, node: Any, path: Path) -> list[FileFault]:
    """Faults of references that leave the document, and of ids, which would move their base."""
    faults: list[FileFault] = []
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str) and target != "#" and not target.startswith("#/"):
            message = "a reference leaves the file or names an anchor"
            remedy = "Put its target under `$defs` and refer to `#/$defs/…`"
            faults.append(source.fault([*path, "$ref"], message, remedy))
        for key in _UNUSED & node.keys():
            if isinstance(node[key], str):
                message = f"{key} has no use here"
                faults.append(source.fault([*path, key], message, "Refer to `#/$defs/…`"))
    for step, child in _children(node):
        faults += _references(source, child, [*path, step])
    return faults


def _size(node: Any, schema: dict[str, Any], known: dict[str, int], depth: int = 0) -> int:
    """How many schemas a node comes to when references are followed; a cycle counts once.

    One that is deeper than a validator follows counts as too many.
    """
    if not isinstance(node, (dict, list)):
        return 0
    if depth > MAX_FOLLOWED:
        return MAX_SIZE + 1
    size = 1
    target = node.get("$ref") if isinstance(node, dict) else None
    if isinstance(target, str):
        if target not in known:
            known[target] = 0
            known[target] = _size(resolve({"$ref": target}, schema), schema, known, depth + 1)
        size += known[target]
    for _, child in _children(node):
        size += _size(child, schema, known, depth + 1)
        if size > MAX_SIZE:
            break
    return min(size, MAX_SIZE + 1)


def _children(node: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(node, dict):
        return node.items()
    return enumerate(node) if isinstance(node, list) else ()


def _default_faults(source: Source, schema: dict[str, Any]) -> list[FileFault]:
    faults = []
    kept = ("type", "properties", "$defs")
    alone = {key: value for key, value in schema.items() if key in kept}
    try:
        optional = jsonschema_rs.Draft202012Validator(alone, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        remedy = "Refer to `#/$defs/…` or `#/properties/…`"
        return [source.fault(["inputs"], f"a reference leads elsewhere: {error}", remedy)]
    for name, spec in schema["properties"].items():
        has_default = isinstance(spec, dict) and "default" in spec
        if has_default and not optional.is_valid({name: spec["default"]}):
            path: Path = ["inputs", "properties", name, "default"]
            message = f"the default of {name} violates its own schema"
            remedy = "Choose a default that a client could send"
            faults.append(source.fault(path, message, remedy))
    return faults


def tensor_faults(source: Source, contract: Contract, schema: dict[str, Any]) -> list[FileFault]:
    """What is wrong with the tensors, given the schema of the inputs."""
    faults: list[FileFault] = []
    for name, spec in contract.tensors.items():
        path: Path = ["tensors", name]
        for field in spec.source if isinstance(spec.source, list) else [spec.source]:
            faults += _field_faults(source, path, field, spec, schema)
        faults += _shape_faults(source, path, spec)
    return faults


def _field_faults(
    source: Source, path: Path, field: str, spec: TensorSpec, schema: dict[str, Any]
) -> list[FileFault]:
    found = schema["properties"].get(field)
    if found is None:
        known = ", ".join(sorted(schema["properties"]))
        return [source.fault([*path, "from"], f"there is no input {field}", f"Inputs are: {known}")]
    if field not in schema.get("required", []) and "default" not in resolve(found, schema):
        remedy = f"Add {field} to `required` or give it a `default`: a tensor is never left empty"
        return [source.fault([*path, "from"], f"the input {field} is optional", remedy)]
    leaves = _leaves(found, schema)
    types = {name for _, name in leaves}
    allowed = JSON_TYPES[spec.datatype]
    if not types <= allowed:
        names = " or ".join(sorted(types - allowed))
        remedy = f"Declare {field} as {' or '.join(sorted(allowed))}, or change the datatype"
        message = f"the input {field} may be {names}, which {spec.datatype} cannot hold"
        return [source.fault([*path, "datatype"], message, remedy)]
    ranks = _ranks(spec)
    if {depth for depth, _ in leaves} - ranks:
        wanted = " or ".join("one value" if rank == 0 else f"{rank}-fold array" for rank in ranks)
        message = f"the input {field} does not have the shape {spec.shape}"
        return [source.fault([*path, "shape"], message, f"Declare {field} as {wanted}")]
    return []


def _ranks(spec: TensorSpec) -> set[int]:
    """How deep in arrays an input's values may lie for a tensor."""
    if isinstance(spec.source, list):
        return {0}
    return {0, len(spec.shape)} if all(size == 1 for size in spec.shape) else {len(spec.shape)}


def _shape_faults(source: Source, path: Path, spec: TensorSpec) -> list[FileFault]:
    where: Path = [*path, "shape"]
    if any(size == 0 for size in spec.shape):
        return [source.fault(where, "a dimension of 0 holds nothing", "Use 1 or more, or -1")]
    if spec.bucket_bytes and spec.datatype != "BYTES":
        where = [*path, "bucket_bytes"]
        return [source.fault(where, "bucket_bytes goes with BYTES", "Leave it out")]
    if isinstance(spec.source, list) and prod(spec.shape) != len(spec.source):
        message = f"shape {spec.shape} does not hold {len(spec.source)} inputs"
        return [source.fault(where, message, f"Use shape: [{len(spec.source)}]")]
    return []


def _leaves(spec: Any, schema: dict[str, Any], depth: int = 0) -> set[tuple[int, str]]:
    """The JSON types that a property may hold and how deep in arrays they lie."""
    spec = resolve(spec, schema)
    if "type" in spec:
        types = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
    elif "enum" in spec or "const" in spec:
        types = [_type_of(value) for value in spec.get("enum", [spec.get("const")])]
    else:
        types = sorted(_FREE)
    leaves = {(depth, str(name)) for name in types if name != "array" or depth >= MAX_RANK}
    if "array" in types and depth < MAX_RANK:
        items = spec.get("items", {})
        inner = [*spec.get("prefixItems", []), *([items] if items is not False else [])]
        for part in inner:
            leaves |= _leaves(part, schema, depth + 1)
    return leaves


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "object"


def answer_faults(source: Source, contract: Contract) -> list[FileFault]:
    """What is wrong with the answer."""
    answer = contract.answer
    faults: list[FileFault] = []

    def fault(field: str, message: str, remedy: str) -> None:
        faults.append(source.fault(["answer", field], message, remedy))

    several = answer.kind == "tensors"
    if several and not answer.tensors:
        fault("kind", "kind tensors names no tensors", "Add `tensors: [NAME, …]`")
    if not several and not answer.tensor:
        fault("kind", f"kind {answer.kind} names no tensor", "Add `tensor: NAME`")
    if (answer.tensor if several else answer.tensors) is not None:
        extra = "tensor" if several else "tensors"
        fault(extra, f"kind {answer.kind} takes no `{extra}`", "Leave it out")
    if (answer.kind == "segments") != (answer.state is not None):
        fault("state", "`state` goes with kind segments, and only with it", "Name the output")
    if (answer.kind == "classification") != (answer.labels is not None):
        fault("labels", "labels go with kind classification, and only with it", "See the example")
    if answer.labels and len(set(answer.labels)) != len(answer.labels):
        fault("labels", "a label stands twice", "Make them unique")
    if answer.unit is not None and answer.kind != "regression":
        fault("unit", "a unit goes with kind regression", "Leave it out")
    faults += _threshold_faults(source, contract)
    return faults


def _threshold_faults(source: Source, contract: Contract) -> list[FileFault]:
    name = contract.answer.threshold
    if name is None:
        return []
    where: Path = ["answer", "threshold"]
    if contract.answer.kind != "classification":
        return [source.fault(where, "a threshold goes with kind classification", "Leave it out")]
    properties = contract.inputs.get("properties")
    spec = properties.get(name) if isinstance(properties, dict) else None
    required = contract.inputs.get("required", [])
    bounded = (
        isinstance(spec, dict)
        and spec.get("type") in ("number", "integer")
        and all(isinstance(spec.get(key), (int, float)) for key in ("minimum", "maximum"))
        and 0 <= spec["minimum"] <= spec["maximum"] <= 1
        and ("default" in spec or (isinstance(required, list) and name in required))
    )
    if bounded:
        return []
    remedy = f"Declare {name}: {{type: number, minimum: 0, maximum: 1, default: 0}}"
    return [source.fault(where, f"{name} is no input from 0 to 1 with a default", remedy)]
