"""Webhooks in the OpenAPI document: the resources, and what receivers are sent."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from control_plane.api import webhook_views
from control_plane.api.openapi_parts import RATE_HEADERS
from control_plane.records.pages import MAX_LIMIT
from control_plane.web.openapi import (
    ID_HEADERS,
    Schema,
    closed_object,
    error_response,
    header_objects,
    ref,
)
from control_plane.webhooks.shapes import DELIVERY_ID, ENDPOINT_ID, Event, Status

VIEWS: Final = (
    webhook_views.EndpointBody,
    webhook_views.EndpointView,
    webhook_views.EndpointMade,
    webhook_views.EndpointList,
    webhook_views.RotateSecretBody,
    webhook_views.SecretView,
    webhook_views.DeliveryView,
    webhook_views.DeliveryList,
)

_STATUSES: Final = (400, 401, 403, 405, 429, 431, 500, 503)
_WITH_BODY: Final = (413, 415, 422)
_BASE: Final = "/api/v1/webhooks"


def webhook_paths() -> Schema:
    """The operations on webhooks."""
    return {
        _BASE: {
            "get": _operation(
                "list_endpoints", "Receivers of the tenant", "EndpointList", _paging()
            ),
            "post": _taking(
                _operation("make_endpoint", "Make a receiver", "EndpointMade", status="201"),
                "EndpointBody",
            ),
        },
        f"{_BASE}/{{endpoint}}": _of_endpoint(),
        f"{_BASE}/{{endpoint}}/secret": {
            "get": _one("get_secret", "What signs for a receiver", "SecretView", _ENDPOINT)
        },
        f"{_BASE}/{{endpoint}}/secret/rotate": {
            "post": _taking(
                _one("rotate_secret", "Give a receiver another secret", "SecretView", _ENDPOINT),
                "RotateSecretBody",
            )
        },
        f"{_BASE}/secret": {
            "get": _operation(
                "get_default_secret", "What signs for addresses that jobs name", "SecretView"
            )
        },
        f"{_BASE}/secret/rotate": {
            "post": _taking(
                _operation(
                    "rotate_default_secret", "Give the tenant another default secret", "SecretView"
                ),
                "RotateSecretBody",
            )
        },
        f"{_BASE}/deliveries": {
            "get": _operation(
                "list_deliveries", "Deliveries of the tenant", "DeliveryList", _delivery_filter()
            )
        },
        f"{_BASE}/deliveries/{{delivery}}": {
            "get": _one("get_delivery", "A delivery with its attempts", "DeliveryView", _DELIVERY)
        },
        f"{_BASE}/deliveries/{{delivery}}/redeliver": {
            "post": _one("redeliver", "Send a delivery again", "DeliveryView", _DELIVERY, "202")
        },
    }


def webhook_events() -> Schema:
    """What receivers are sent (OpenAPI 3.1, ``webhooks``)."""
    text: Schema = {"type": "string"}
    names = {
        "webhook-id": "Of the delivery: the same at every attempt",
        "webhook-timestamp": "Of the attempt, epoch seconds",
        "webhook-signature": "`v1,` and the base64 of HMAC-SHA256; several separated by a space",
    }
    headers = [
        {"name": name, "in": "header", "required": True, "description": said, "schema": text}
        for name, said in names.items()
    ]
    moment = {"type": "string", "format": "date-time"}
    payload = closed_object({"type": {}, "timestamp": moment, "data": ref("JobView")})
    return {event.value: {"post": _told(event, headers, payload)} for event in Event}


def _told(event: Event, headers: list[Schema], payload: Schema) -> Schema:
    properties: dict[str, Any] = {**payload["properties"], "type": {"const": event.value}}
    return {
        "operationId": event.value.replace(".", "_"),
        "summary": f"A job has ended: {event.value.partition('.')[2]}",
        "tags": ["webhooks"],
        "security": [{}],
        "parameters": headers,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {**payload, "properties": properties}}},
        },
        "responses": {
            "2XX": {"description": "Taken"},
            "410": {"description": "Send nothing more: the endpoint is disabled"},
        },
    }


def _of_endpoint() -> Schema:
    changed = _one("patch_endpoint", "Change a receiver (RFC 7396)", "EndpointView", _ENDPOINT)
    changed = _taking(changed, "EndpointBody")
    _, shapes = msgspec.json.schema_components(
        [webhook_views.EndpointBody], ref_template="#/components/schemas/{name}"
    )
    shape = shapes["EndpointBody"]
    members = {
        name: member if name in shape["required"] else {"anyOf": [member, {"type": "null"}]}
        for name, member in shape["properties"].items()
    }
    schema = {
        "type": "object",
        "description": "Members of EndpointBody; null for the default",
        "properties": members,
        "additionalProperties": False,
    }
    changed["requestBody"]["content"] = {
        media_type: {"schema": schema}
        for media_type in ("application/json", "application/merge-patch+json")
    }
    return {
        "get": _one("get_endpoint", "A receiver", "EndpointView", _ENDPOINT),
        "patch": changed,
        "delete": _one("delete_endpoint", "Delete a receiver", "", _ENDPOINT, "204"),
    }


def _path(name: str, pattern: str) -> Schema:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


_ENDPOINT: Final = _path("endpoint", ENDPOINT_ID.pattern)
_DELIVERY: Final = _path("delivery", DELIVERY_ID.pattern)


def _one(
    operation_id: str, summary: str, schema: str, parameter: Schema, status: str = "200"
) -> Schema:
    operation = _operation(operation_id, summary, schema, [parameter], status)
    operation["responses"]["404"] = error_response(404)
    return operation


def _taking(operation: Schema, schema: str) -> Schema:
    """An operation with a body."""
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": ref(schema)}},
    }
    operation["responses"] |= {str(status): error_response(status) for status in _WITH_BODY}
    return operation


def _operation(
    operation_id: str,
    summary: str,
    schema: str,
    parameters: list[Schema] | None = None,
    status: str = "200",
) -> Schema:
    answer: Schema = {
        "description": summary,
        "headers": header_objects({**ID_HEADERS, **RATE_HEADERS}),
    }
    if schema:
        answer["content"] = {"application/json": {"schema": ref(schema)}}
    return {
        "operationId": operation_id,
        "tags": ["webhooks"],
        "summary": summary,
        "parameters": parameters or [],
        "responses": {status: answer, **{str(each): error_response(each) for each in _STATUSES}},
    }


def _paging() -> list[Schema]:
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}
    return [
        _query("cursor", "`next_cursor` of the page before", {"type": "string", "maxLength": 88}),
        _query("limit", "Items of the page", limit),
    ]


def _delivery_filter() -> list[Schema]:
    endpoint = {"type": "string", "pattern": f"^{ENDPOINT_ID.pattern}$"}
    return [
        _query("endpoint", "Id of an endpoint", endpoint),
        _query("status", "Where they stand", {"enum": [status.value for status in Status]}),
        *_paging(),
    ]


def _query(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": text, "schema": schema}
