"""Parts of an OpenAPI 3.1 document that every door has: schemas, headers, errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from control_plane.error_codes import CATALOGUE

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
REF: Final = "#/components/schemas/{name}"
REQUEST_ID: Final = {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}
ID_HEADERS: Final = {
    "X-Request-ID": "Id of this request, minted by the server",
    "X-Client-Request-ID": "The client's own X-Request-ID, if it was well formed",
}
_OF_STATUS: Final = {
    401: {"WWW-Authenticate": "How to authenticate (RFC 6750)"},
    405: {"Allow": "Methods that the resource takes"},
    429: {"Retry-After": "Seconds to wait"},
    503: {"Retry-After": "Seconds to wait"},
}
_NOTHING: Final[Mapping[int, Mapping[str, str]]] = MappingProxyType({})


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": REF.format(name=name)}


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


def error_responses(more: Mapping[int, Mapping[str, str]] = _NOTHING) -> Schema:
    """The response of every error status: the codes that go with it.

    Args:
        more: Further headers by status.
    """
    statuses = sorted({spec.status for spec in CATALOGUE.values()})
    return {str(status): _error_response(status, more.get(status, {})) for status in statuses}


def _error_response(status: int, more: Mapping[str, str]) -> Schema:
    specs = {code: spec for code, spec in CATALOGUE.items() if spec.status == status}
    lines = [f"`{code}`: {spec.summary} {spec.remedy}" for code, spec in specs.items()]
    return {
        "description": "\n\n".join(lines),
        "headers": header_objects({**ID_HEADERS, **_OF_STATUS.get(status, {}), **more}),
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
