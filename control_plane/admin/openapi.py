"""The OpenAPI 3.1 document of the operators' API, from what the handlers say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from msgspec import Struct

from control_plane import __version__
from control_plane.admin.operation import KEY, Operation, Query
from control_plane.errors import Fault
from control_plane.web.openapi import (
    DIALECT,
    ID_HEADERS,
    REF,
    Schema,
    error_response,
    error_responses,
    error_schema,
    header_objects,
    problem_schema,
    ref,
)

_ALWAYS: Final = (400, 401, 403, 405, 429, 431, 500, 503)
_OF_BODY: Final = (413, 415, 422, 504)
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "ETag of the revision that is meant; without it, whichever there is",
    "schema": {"type": "string"},
}


@get("/admin/v1/openapi.json", sync_to_thread=False)
def openapi_json(state: State) -> Response[bytes]:
    """The OpenAPI document; it needs no key and holds no secret."""
    return Response(state.openapi, media_type="application/json")


def document(routes: Iterable[BaseRoute]) -> Schema:
    """The document for the routes whose handlers have an :class:`Operation`."""
    found = [each for route in routes if isinstance(route, HTTPRoute) for each in _described(route)]
    shapes: set[type[Struct]] = {Fault}
    shapes |= {shape for _, _, told in found for shape in (told.answer, told.body) if shape}
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=REF)
    paths: Schema = {}
    for path, handler, told in found:
        (method,) = handler.http_methods - {"OPTIONS"}
        paths.setdefault(path, {})[str(method).lower()] = _operation(path, handler, told)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "Tidegate operators' API",
            "version": __version__,
            "description": "Tenants, tiers, keys, models, rollouts and what was changed of them.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "responses": error_responses(),
            "schemas": schemas | {"Error": error_schema(), "Problem": problem_schema()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _described(route: HTTPRoute) -> Iterator[tuple[str, HTTPRouteHandler, Operation]]:
    for handler in route.route_handlers:
        if KEY in handler.opt:
            yield route.path_format, handler, handler.opt[KEY]


def _operation(path: str, handler: HTTPRouteHandler, told: Operation) -> Schema:
    names = _PATH_PARAMETER.findall(path)
    statuses = {*_ALWAYS, *(_OF_BODY if told.body else ()), *((404,) if names else ())}
    if told.scope.endswith(":write"):
        statuses.add(409)
    summary = (handler.fn.__doc__ or "").strip().partition("\n")[0]
    operation: Schema = {
        "operationId": handler.fn.__name__,
        "tags": [told.scope.partition(":")[0]],
        "summary": summary,
        "description": f"Scope: `admin:{told.scope}`",
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _ID} for name in names),
            *map(_query_parameter, told.query),
            *((_IF_MATCH,) if told.is_conditional else ()),
        ],
        "responses": {
            str(handler.status_code): _answer(told, summary),
            **{str(status): error_response(status) for status in sorted(statuses)},
        },
    }
    if told.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(told, told.body)}
    return operation


_ID: Final = {"type": "string", "minLength": 1, "maxLength": 63}


def _query_parameter(query: Query) -> Schema:
    return {
        "name": query.name,
        "in": "query",
        "description": query.description,
        "schema": query.schema,
    }


def _content(told: Operation, shape: type[Struct]) -> Schema:
    if not told.is_patch:
        return {"application/json": {"schema": ref(shape.__name__)}}
    text = f"JSON merge patch (RFC 7396) of {shape.__name__}"
    patch: Schema = {"schema": {"type": "object", "description": text}}
    return {"application/merge-patch+json": patch, "application/json": patch}


def _answer(told: Operation, summary: str) -> Schema:
    answer: dict[str, Any] = {"description": summary, "headers": header_objects(ID_HEADERS)}
    if told.answer is not None:
        answer["content"] = {"application/json": {"schema": ref(told.answer.__name__)}}
    for media_type in told.media_types:
        answer.setdefault("content", {})[media_type] = {"schema": {"type": "string"}}
    return answer
