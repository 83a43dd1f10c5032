"""The OpenAPI 3.1 document: one operation a model, generated from the contracts."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from control_plane import __version__
from control_plane.api import catalog, health
from control_plane.api.predict import MEDIA_TYPES
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import PROPERTIES
from control_plane.contracts.inputs import DIALECT
from control_plane.errors import CATALOGUE, Fault
from control_plane.pipeline import Pipeline
from control_plane.routing.catalog import Model
from control_plane.types import ModelRef

Schema = dict[str, Any]
_REF: Final = "#/components/schemas/{name}"
_VIEWS: Final = (
    health.Alive,
    health.Ready,
    catalog.ModelList,
    catalog.ModelDetail,
    catalog.VersionList,
    catalog.SchemaView,
    Fault,
)
_PREDICT_STATUSES: Final = (400, 404, 405, 410, 413, 415, 422, 500, 501, 502, 503, 504)
_HEADERS: Final = {
    "X-Request-ID": "Id of this request, minted by the server",
    "X-Client-Request-ID": "The client's own X-Request-ID, if it was well formed",
}


def document(pipeline: Pipeline) -> Schema:
    """The document for the models of a pipeline."""
    _, views = msgspec.json.schema_components(_VIEWS, ref_template=_REF)
    schemas: Schema = {**views, "Error": _error_schema(), "Problem": _problem_schema()}
    paths: Schema = _fixed_paths()
    models = pipeline.router.catalog.models
    for model in models.values():
        versions = [pipeline.contracts[ModelRef(model.name, v)] for v in model.versions]
        for compiled in versions:
            schemas |= _version_schemas(compiled)
        for major in (1, 2):
            path = f"/api/v{major}/models/{model.name}/predict"
            paths[path] = {"post": _predict_operation(model, versions, major)}
    default = models.get(pipeline.router.catalog.default_model or "")
    if default is not None:
        paths |= _default_paths(pipeline, default)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "Tidegate",
            "version": __version__,
            "description": "Predictions of the models that this deployment serves.",
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "predictions", "description": "One operation a model and API major"},
            {"name": "models", "description": "What there is, and what it takes and gives"},
            {"name": "health", "description": "For load balancers and orchestrators"},
        ],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _default_paths(pipeline: Pipeline, model: Model) -> Schema:
    versions = [pipeline.contracts[ModelRef(model.name, v)] for v in model.versions]
    paths: Schema = {
        f"/api/v{major}/predict": {"post": _predict_operation(model, versions, major, default=True)}
        for major in (1, 2)
    }
    operation = _predict_operation(model, versions, 1, default=True)
    operation["operationId"] = "predict_negotiated"
    operation["summary"] += "; the API major by Accept"
    operation["responses"]["200"]["content"] = {
        media_type.decode(): {"schema": _answers(versions, major)}
        for major, media_type in MEDIA_TYPES.items()
    } | {"application/json": {"schema": _answers(versions, 1)}}
    operation["responses"]["406"] = _error_response(406)
    paths["/api/predict"] = {"post": operation}
    return paths


def _predict_operation(
    model: Model, versions: list[CompiledContract], major: int, *, default: bool = False
) -> Schema:
    standard = next(c for c in versions if c.ref.version == model.default)
    name = "default" if default else model.name
    statuses = (*_PREDICT_STATUSES,)
    body = {
        "schema": {"anyOf": [_ref(_schema_name(c, "Request")) for c in versions]},
        "examples": {
            f"{compiled.ref.version} {index}": {
                "value": {"model_version": str(compiled.ref.version), "inputs": example}
            }
            for compiled in versions
            for index, example in enumerate(compiled.contract.examples)
        },
    }
    return {
        "operationId": f"predict_{name}_v{major}",
        "tags": ["predictions"],
        "summary": standard.contract.title,
        "description": standard.contract.description or standard.contract.title,
        "parameters": _parameters(),
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "The prediction",
                "headers": _headers(
                    {
                        **_HEADERS,
                        "X-Model-Version": "The version that answered",
                        "Server-Timing": "Milliseconds of admission, queue and inference",
                        "X-Warnings": "What to know of the answer (RFC 8941 list)",
                    }
                ),
                "content": {"application/json": {"schema": _answers(versions, major)}},
            },
            **{str(status): _error_response(status) for status in statuses},
        },
    }


def _parameters() -> list[Schema]:
    return [
        {
            "name": "X-Model-Version",
            "in": "header",
            "description": "Exact version, prefix or alias; default: the latest stable version",
            "schema": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[ -~]+$"},
        },
        {
            "name": "X-Request-Timeout",
            "in": "header",
            "description": "Deadline in milliseconds; the contract's `deadline_ms` is the cap",
            "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
        },
        {
            "name": "X-Request-ID",
            "in": "header",
            "description": "The client's own id, logged and sent back as X-Client-Request-ID",
            "schema": {"type": "string"},
        },
        {
            "name": "explain",
            "in": "query",
            "description": "Explain the prediction; true means detailed",
            "schema": {"enum": ["true", "false", "simple", "detailed"]},
        },
    ]


def _version_schemas(compiled: CompiledContract) -> Schema:
    flat, data = compiled.answers.kind.schemas()
    inputs = _rebased(
        compiled.inputs.schema, f"#/components/schemas/{_schema_name(compiled, 'Inputs')}"
    )
    model, version = compiled.ref.name, str(compiled.ref.version)
    return {
        _schema_name(compiled, "Inputs"): inputs,
        _schema_name(compiled, "Request"): {
            "type": "object",
            "properties": {**PROPERTIES, "inputs": _ref(_schema_name(compiled, "Inputs"))},
            "required": ["inputs"],
            "additionalProperties": False,
        },
        _schema_name(compiled, "AnswerV1"): _object(
            {
                **flat,
                "model": {"const": model},
                "model_version": {"const": version},
                "request_id": _REQUEST_ID,
            }
        ),
        _schema_name(compiled, "AnswerV2"): _object(
            {
                "data": _object(data),
                "model": _object(
                    {
                        "name": {"const": model},
                        "version": {"const": version},
                        "rollout": {"type": ["string", "null"]},
                    }
                ),
                "usage": _object({"units": {"type": "integer", "minimum": 0}}),
                "timing": _object(dict.fromkeys(_STAGES, _MILLISECONDS)),
                "warnings": {
                    "type": "array",
                    "items": _object({"code": {"type": "string"}, "message": {"type": "string"}}),
                },
                "request_id": _REQUEST_ID,
            }
        ),
    }


_MILLISECONDS: Final = {"type": "number", "minimum": 0}
_STAGES: Final = ("admission_ms", "queue_ms", "inference_ms")
_REQUEST_ID: Final = {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}


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


def _answers(versions: list[CompiledContract], major: int) -> Schema:
    return {"anyOf": [_ref(_schema_name(compiled, f"AnswerV{major}")) for compiled in versions]}


def _schema_name(compiled: CompiledContract, part: str) -> str:
    return f"{compiled.ref.name}.{compiled.ref.version}.{part}"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _headers(names: dict[str, str]) -> Schema:
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in names.items()
    }


def _error_response(status: int) -> Schema:
    specs = {code: spec for code, spec in CATALOGUE.items() if spec.status == status}
    lines = [f"`{code}`: {spec.summary} {spec.remedy}" for code, spec in specs.items()]
    headers = dict(_HEADERS)
    if status == 503:
        headers["Retry-After"] = "Seconds to wait"
    if status == 405:
        headers["Allow"] = "Methods that the resource takes"
    return {
        "description": "\n\n".join(lines),
        "headers": _headers(headers),
        "content": {
            "application/json": {"schema": _ref("Error")},
            "application/problem+json": {"schema": _ref("Problem")},
        },
    }


def _error_facts() -> Schema:
    return {
        "code": {"enum": sorted(CATALOGUE)},
        "details": {"type": "object", "description": "The facts; of several faults the first"},
        "errors": {"type": "array", "items": _ref("Fault"), "description": "Every fault"},
        "request_id": _REQUEST_ID,
        "timestamp": {"type": "string", "format": "date-time"},
    }


def _error_schema() -> Schema:
    body = _object({**_error_facts(), "message": {"type": "string"}})
    body["required"].remove("errors")
    return {**_object({"error": body}), "description": "The envelope of every error"}


def _problem_schema() -> Schema:
    text = {"type": "string"}
    body = _object(
        {
            **_error_facts(),
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": text,
        }
    )
    body["required"].remove("errors")
    return {**body, "description": "The same as RFC 9457"}


def _fixed_paths() -> Schema:
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    version = {
        "name": "version",
        "in": "query",
        "description": "Exact version, prefix or alias; default: the latest stable version",
        "schema": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[ -~]+$"},
    }
    get = _get_operation
    return {
        "/healthz": get("healthz", "health", "The process runs", "Alive", ()),
        "/ready": _ready_operation(),
        "/api/v1/models": get("list_models", "models", "Every model", "ModelList", ()),
        "/api/v1/models/{model}": get(
            "get_model", "models", "One model with its versions", "ModelDetail", (404,), [model]
        ),
        "/api/v1/models/{model}/versions": get(
            "list_versions", "models", "The versions of a model", "VersionList", (404,), [model]
        ),
        "/api/v1/models/{model}/schema": get(
            "get_schema",
            "models",
            "What a version takes and gives",
            "SchemaView",
            (404, 410),
            [model, version],
        ),
    }


def _get_operation(
    operation: str,
    tag: str,
    summary: str,
    schema: str,
    statuses: tuple[int, ...],
    parameters: list[Schema] | None = None,
) -> Schema:
    return {
        "get": {
            "operationId": operation,
            "tags": [tag],
            "summary": summary,
            "parameters": parameters or [],
            "responses": {
                "200": {
                    "description": summary,
                    "headers": _headers(_HEADERS),
                    "content": {"application/json": {"schema": _ref(schema)}},
                },
                **{str(status): _error_response(status) for status in (400, *statuses, 405, 500)},
            },
        }
    }


def _ready_operation() -> Schema:
    path = _get_operation("ready", "health", "Whether requests can be served", "Ready", ())
    path["get"]["responses"]["503"] = {
        "description": "Not now",
        "headers": _headers({**_HEADERS, "Retry-After": "Seconds to wait"}),
        "content": {"application/json": {"schema": _ref("Ready")}},
    }
    return path
