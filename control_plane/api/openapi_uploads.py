"""Uploads in the OpenAPI document."""

from __future__ import annotations

from typing import Final

from control_plane.api import objects, upload_views
from control_plane.api.openapi_parts import RATE_HEADERS
from control_plane.records.pages import MAX_LIMIT
from control_plane.uploads.layout import UPLOAD_ID
from control_plane.web.openapi import ID_HEADERS, Schema, error_response, header_objects, ref

VIEWS: Final = (
    upload_views.UploadBody,
    upload_views.UploadView,
    upload_views.UploadMade,
    upload_views.UploadList,
)

_STATUSES: Final = (400, 401, 403, 405, 429, 431, 500, 503)
_UPLOAD: Final[Schema] = {
    "name": "upload",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": UPLOAD_ID},
}


def upload_paths() -> Schema:
    """The operations on uploads."""
    made = _operation(
        "make_upload", "Sign an address for one object", [], "201", "UploadMade", 413, 415, 422
    )
    made["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": ref("UploadBody")}},
    }
    listed = "Uploads of the tenant, the latest first"
    return {
        "/api/v1/uploads": {
            "get": _operation("list_uploads", listed, _paging(), "200", "UploadList"),
            "post": made,
        },
        "/api/v1/uploads/{upload}": {
            "get": _operation(
                "get_upload", "An upload as it stands", [_UPLOAD], "200", "UploadView", 404
            ),
            "delete": _operation(
                "delete_upload", "Delete an upload and its object", [_UPLOAD], "204", "", 404
            ),
        },
        objects.TEMPLATE: {"put": _put()},
    }


def _operation(
    operation_id: str,
    summary: str,
    parameters: list[Schema],
    status: str,
    schema: str,
    *statuses: int,
) -> Schema:
    answer: Schema = {
        "description": summary,
        "headers": header_objects({**ID_HEADERS, **RATE_HEADERS}),
    }
    if schema:
        answer["content"] = {"application/json": {"schema": ref(schema)}}
    errors = sorted({*statuses, *_STATUSES})
    return {
        "operationId": operation_id,
        "tags": ["uploads"],
        "summary": summary,
        "parameters": parameters,
        "responses": {status: answer, **{str(each): error_response(each) for each in errors}},
    }


def _put() -> Schema:
    """Putting an object; only where objects lie in a folder."""
    text: Schema = {"type": "string"}
    parameters = [
        {"name": name, "in": "query", "required": True, "schema": text} for name in objects.SIGNED
    ]
    operation = _operation(
        "put_object",
        "Put an object at the address that `make_upload` signed, with its headers",
        [_UPLOAD, *parameters],
        "201",
        "UploadView",
        *(404, 409, 410, 422, 504),
    )
    operation["security"] = [{}]
    operation["requestBody"] = {
        "required": True,
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    }
    operation["responses"]["201"]["headers"] = header_objects(ID_HEADERS)
    return operation


def _paging() -> list[Schema]:
    parameters: list[tuple[str, str, Schema]] = [
        ("cursor", "`next_cursor` of the page before", {"type": "string", "maxLength": 64}),
        ("limit", "Uploads of the page",
         {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}),
    ]  # fmt: skip
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, text, schema in parameters
    ]
