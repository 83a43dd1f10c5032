"""Parts of the OpenAPI document that are the same for every deployment."""

from __future__ import annotations

from typing import Any, Final

from control_plane.errors import CATALOGUE

Schema = dict[str, Any]

REQUEST_ID: Final = {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}


ID_HEADERS: Final = {
    "X-Request-ID": "Id of this request, minted by the server",
    "X-Client-Request-ID": "The client's own X-Request-ID, if it was well formed",
}


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed_object(properties: Schema) -> Schema:
    """A closed object whose properties are all required."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def header_objects(names: dict[str, str]) -> Schema:
    """Header objects of an answer."""
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in names.items()
    }


def error_response(status: int) -> Schema:
    """A reference to the response of an error status."""
    return {"$ref": f"#/components/responses/{status}"}


def error_responses() -> Schema:
    """The response of every error status: the codes that go with it."""
    statuses = sorted({spec.status for spec in CATALOGUE.values()})
    return {str(status): _error_response(status) for status in statuses}


def _error_response(status: int) -> Schema:
    specs = {code: spec for code, spec in CATALOGUE.items() if spec.status == status}
    lines = [f"`{code}`: {spec.summary} {spec.remedy}" for code, spec in specs.items()]
    headers = dict(ID_HEADERS)
    if status == 503:
        headers["Retry-After"] = "Seconds to wait"
    if status == 405:
        headers["Allow"] = "Methods that the resource takes"
    return {
        "description": "\n\n".join(lines),
        "headers": header_objects(headers),
        "content": {
            "application/json": {"schema": ref("Error")},
            "application/problem+json": {"schema": ref("Problem")},
        },
    }


def _error_facts() -> Schema:
    return {
        "code": {"enum": sorted(CATALOGUE)},
        "details": {"type": "object", "description": "The facts; of several faults the first"},
        "errors": {"type": "array", "items": ref("Fault"), "description": "Every fault"},
        "request_id": REQUEST_ID,
        "timestamp": {"type": "string", "format": "date-time"},
    }


def error_schema() -> Schema:
    """The envelope."""
    body = closed_object({**_error_facts(), "message": {"type": "string"}})
    body["required"].remove("errors")
    return {**closed_object({"error": body}), "description": "The envelope of every error"}


def problem_schema() -> Schema:
    """The envelope as RFC 9457."""
    text = {"type": "string"}
    body = closed_object(
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


def fixed_paths() -> Schema:
    """The operations that no model adds to."""
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


_ALWAYS: Final = (400, 405, 431, 500)


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
                    "headers": header_objects(ID_HEADERS),
                    "content": {"application/json": {"schema": ref(schema)}},
                },
                **{str(status): error_response(status) for status in (*statuses, *_ALWAYS)},
            },
        }
    }


def _ready_operation() -> Schema:
    path = _get_operation("ready", "health", "Whether requests can be served", "Ready", ())
    path["get"]["responses"]["503"] = {
        "description": "Not now",
        "headers": header_objects({**ID_HEADERS, "Retry-After": "Seconds to wait"}),
        "content": {"application/json": {"schema": ref("Ready")}},
    }
    return path
