"""Jobs in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from control_plane.api import job_views
from control_plane.api.openapi_parts import RATE_HEADERS
from control_plane.api.preferences import MAX_CANCEL_S, MAX_WAIT_S
from control_plane.jobs.requests import body_schema
from control_plane.jobs.shapes import JOB_ID, State, Task
from control_plane.records.pages import MAX_LIMIT
from control_plane.web.openapi import ID_HEADERS, Schema, error_response, header_objects, ref

VIEWS: Final = (job_views.JobView, job_views.JobDetail, job_views.JobList)

_STATUSES: Final = (400, 401, 403, 405, 429, 431, 500, 503)
_JOB: Final[Schema] = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": JOB_ID},
}
_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_HEADERS: Final = {
    **ID_HEADERS,
    **RATE_HEADERS,
    "Location": "Where the job is read",
    "Retry-After": "Seconds after which to look again",
    "Preference-Applied": "Preferences that were honoured (RFC 7240)",
    "Idempotent-Replayed": "`true` if an earlier request with the same key made it",
    "X-Model-Version": "The version that is pinned",
}


def prefer(*, waits_alone: bool) -> Schema:
    """The header Prefer.

    Args:
        waits_alone: Whether ``wait`` has a meaning without ``respond-async``.
    """
    asked = f"`wait=N`, 0 to {MAX_WAIT_S} seconds"
    text = asked if waits_alone else f"`respond-async` for a job; with it {asked}"
    return {
        "name": "Prefer",
        "in": "header",
        "description": f"{text} (RFC 7240); what else is preferred is ignored",
        "schema": {"type": "string"},
    }


def idempotency_key() -> Schema:
    """The header Idempotency-Key."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Done once within 24 hours, and answered again as it was",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }


def accepted() -> Schema:
    """The response to what became a job."""
    return {
        "description": "A job was made; what came out of it is read at Location",
        "headers": header_objects(_HEADERS),
        "content": {"application/json": {"schema": ref("JobView")}},
    }


def job_paths() -> Schema:
    """The operations on jobs."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    shown = _answer("The job", "JobDetail")
    return {
        "/api/v1/jobs": {
            "get": _operation("list_jobs", "Jobs of the tenant, newest first", _filters(),
                              _answer("A page of jobs", "JobList")),
            "post": _submission("submit_job", []),
        },
        "/api/v1/models/{model}/jobs": {"post": _submission("submit_job_of_model", [model])},
        "/api/v1/jobs/{job_id}": {
            "get": _operation("get_job", "A job and what came out of it", [_JOB], shown, 404)
        },
        "/api/v1/jobs/{job_id}/cancel": {
            "post": _operation("cancel_job", "End a job at once", [_JOB], shown, 404, 409)
        },
        "/api/v1/jobs/{job_id}/events": {"get": _events()},
    }  # fmt: skip


def _operation(
    operation_id: str, summary: str, parameters: list[Schema], answer: Schema, *statuses: int
) -> Schema:
    errors = sorted({*statuses, *_STATUSES})
    return {
        "operationId": operation_id,
        "tags": ["jobs"],
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": answer, **{str(each): error_response(each) for each in errors}},
    }


def _answer(text: str, schema: str) -> Schema:
    return {
        "description": text,
        "headers": header_objects({**ID_HEADERS, **RATE_HEADERS}),
        "content": {"application/json": {"schema": ref(schema)}},
    }


def _submission(operation_id: str, parameters: list[Schema]) -> Schema:
    cancel: Schema = {
        "name": "Cancel-After",
        "in": "header",
        "description": f"Seconds, or `90s`, `15m`, `2h`; 1 to {MAX_CANCEL_S} seconds from now",
        "schema": {"type": "string", "pattern": "^[0-9]{1,7}[smh]?$"},
    }
    version: Schema = {
        "name": "X-Model-Version",
        "in": "header",
        "description": "Exact version, prefix or alias; pinned now",
        "schema": {"type": "string", "minLength": 1, "maxLength": 63},
    }
    headers = [version, cancel, prefer(waits_alone=True), idempotency_key()]
    operation = _operation(
        operation_id, "Leave work to be done", [*parameters, *headers],
        _answer("The job, ended within `wait`", "JobDetail"), 404, 410, 413, 415, 422, 501,
    )  # fmt: skip
    schemas: list[Any] = [body_schema(task) for task in Task]
    for schema in schemas[1:]:
        schema["required"] = ["task", "inputs"]
    operation["responses"]["202"] = accepted()
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": schemas}}},
    }
    return operation


def _filters() -> list[Schema]:
    parameters: list[tuple[str, str, Schema]] = [
        ("status", "In this state", {"enum": list(State)}),
        ("model", "Of this model", {"type": "string", "maxLength": 63}),
        ("created_after", "Submitted then or later", _MOMENT),
        ("created_before", "Submitted before", _MOMENT),
        ("cursor", "`next_cursor` of the page before", {"type": "string", "maxLength": 64}),
        ("limit", "Jobs of the page",
         {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}),
    ]  # fmt: skip
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, text, schema in parameters
    ]


def _events() -> Schema:
    last: Schema = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "`id` of the last event that was seen",
        "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
    }
    answer = {
        "description": "Events `state` and `progress`, each with a JobView, until the job's end",
        "headers": header_objects({**ID_HEADERS, **RATE_HEADERS}),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    operation = _operation(
        "follow_job", "A job as it goes, as server-sent events", [_JOB, last], answer, 404
    )
    operation["responses"]["204"] = {"description": "The end was seen: do not come again"}
    return operation
