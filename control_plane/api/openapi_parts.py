"""Parts of the OpenAPI document that are the same for every deployment."""

from __future__ import annotations

from typing import Final

from control_plane.web.openapi import ID_HEADERS, Schema, error_response, header_objects, ref

RATE_HEADERS: Final = {
    "X-RateLimit-Limit": "Requests that may come at once",
    "X-RateLimit-Remaining": "Requests that would be admitted now",
    "X-RateLimit-Reset": "Epoch second at which the rate is whole again",
    "RateLimit-Policy": "Quota and window of the rate (IETF draft)",
    "RateLimit": "What remains of it, and seconds until it is whole (IETF draft)",
    "X-Quota-Limit": "Units of the quota that ends first, if there is one",
    "X-Quota-Remaining": "Units that remain of it",
    "X-Quota-Reset": "Epoch second at which it begins anew",
}


SECURITY: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`tg_live_…`) or an access token of a known OpenID provider",
    },
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key"},
}


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
        "/api/v1/models": get(
            "list_models", "models", "Every model that the caller may use", "ModelList", _GUARDED
        ),
        "/api/v1/models/{model}": get(
            "get_model",
            "models",
            "One model with its versions",
            "ModelDetail",
            (404, *_GUARDED),
            [model],
        ),
        "/api/v1/models/{model}/versions": get(
            "list_versions",
            "models",
            "The versions of a model",
            "VersionList",
            (404, *_GUARDED),
            [model],
        ),
        "/api/v1/models/{model}/schema": get(
            "get_schema",
            "models",
            "What a version takes and gives",
            "SchemaView",
            (404, 410, *_GUARDED),
            [model, version],
        ),
        "/api/v1/usage": get(
            "get_usage",
            "usage",
            "What the caller's tenant used, and what is left of its quotas",
            "UsageView",
            _GUARDED,
            _usage_parameters(),
        ),
        "/api/v1/feedback": {"post": _feedback_operation()},
    }


def _usage_parameters() -> list[Schema]:
    moment = {"type": "string", "examples": ["2026-11", "2026-11-23", "2026-11-23T13:00:00Z"]}
    parameters: list[tuple[str, str, Schema]] = [
        ("from", "First hour, day or month, UTC; default: this month", moment),
        ("to", "Where it ends, at most 400 days later; default: the next month", moment),
        (
            "group",
            "What rows are added up by, all in UTC",
            {"enum": ["hour", "day", "month"], "default": "day"},
        ),
        ("cursor", "`next_cursor` of the page before", {"type": "string", "maxLength": 800}),
        (
            "limit",
            "Rows of the page",
            {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        ),
    ]
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, text, schema in parameters
    ]


_ALWAYS: Final = (400, 405, 431, 500)
_GUARDED: Final = (401, 403, 429, 503)


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
                    "headers": header_objects(
                        {**ID_HEADERS, **RATE_HEADERS} if 429 in statuses else ID_HEADERS
                    ),
                    "content": {"application/json": {"schema": ref(schema)}},
                },
                **{str(status): error_response(status) for status in (*statuses, *_ALWAYS)},
            },
        }
    }


def _feedback_operation() -> Schema:
    summary = "Tell the truth about an earlier prediction of the same tenant"
    statuses = (404, 413, 415, 422, *_GUARDED)
    found = _get_operation("give_feedback", "feedback", summary, "FeedbackView", statuses)
    operation: Schema = found["get"]
    del operation["parameters"]
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": ref("FeedbackBody")}},
    }
    return operation


def _ready_operation() -> Schema:
    path = _get_operation("ready", "health", "Whether requests can be served", "Ready", ())
    path["get"]["responses"]["503"] = {
        "description": "Not now",
        "headers": header_objects({**ID_HEADERS, "Retry-After": "Seconds to wait"}),
        "content": {"application/json": {"schema": ref("Ready")}},
    }
    return path


def predict_parameters(names: list[str]) -> list[Schema]:
    """The parameters of predictions.

    Args:
        names: What selects a version.
    """
    return [
        {
            "name": "X-Model-Version",
            "in": "header",
            "description": "Exact version, prefix or alias; default: the latest stable version",
            "schema": {"enum": names},
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
            "description": "Not offered yet",
            "schema": {"const": "false"},
        },
    ]
