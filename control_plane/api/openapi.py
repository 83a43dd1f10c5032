"""The OpenAPI 3.1 document: one operation a model, generated from the contracts."""

from __future__ import annotations

from typing import Final

import msgspec

from control_plane import __version__
from control_plane.api import catalog_views, feedback, health, usage
from control_plane.api.asked import MEDIA_TYPES
from control_plane.api.openapi_jobs import VIEWS as JOB_VIEWS
from control_plane.api.openapi_jobs import accepted, idempotency_key, job_paths, prefer
from control_plane.api.openapi_parts import RATE_HEADERS, SECURITY, fixed_paths, predict_parameters
from control_plane.api.openapi_uploads import VIEWS as UPLOAD_VIEWS
from control_plane.api.openapi_uploads import upload_paths
from control_plane.api.openapi_versions import job_schemas, schema_name, version_schemas
from control_plane.api.openapi_webhooks import VIEWS as WEBHOOK_VIEWS
from control_plane.api.openapi_webhooks import webhook_events, webhook_paths
from control_plane.contracts.compiler import CompiledContract
from control_plane.errors import Fault
from control_plane.pipeline import Pipeline
from control_plane.routing.catalog import Model
from control_plane.routing.selection import selectors
from control_plane.types import ModelRef
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

_VIEWS: Final = (
    health.Alive,
    health.Ready,
    catalog_views.ModelList,
    catalog_views.ModelDetail,
    catalog_views.VersionList,
    catalog_views.SchemaView,
    feedback.FeedbackBody,
    feedback.FeedbackView,
    usage.UsageView,
    *JOB_VIEWS,
    *UPLOAD_VIEWS,
    *WEBHOOK_VIEWS,
    Fault,
)
_PREDICT_STATUSES: Final = (
    400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 431, 500, 501, 502, 503, 504,
)  # fmt: skip
_PREDICT_HEADERS: Final = {
    **ID_HEADERS,
    **RATE_HEADERS,
    "X-Model-Version": "The version that answered",
    "X-Rollout": "The rollout that the request took part in",
    "Deprecation": "Of a deprecated version: since when (RFC 9745)",
    "Sunset": "Of a deprecated version: when it retires (RFC 8594)",
    "Link": "Of a deprecated version: what to read, and its successor (RFC 8288)",
    "Server-Timing": "Milliseconds of admission, queue and inference",
    "X-Warnings": "What to know of the answer (RFC 8941 list)",
}


def document(pipeline: Pipeline, visible: frozenset[ModelRef]) -> Schema:
    """The document for one caller.

    Args:
        pipeline: Whose models are described.
        visible: The versions that the caller may use.
    """
    _, views = msgspec.json.schema_components(_VIEWS, ref_template=REF)
    views["FeedbackBody"]["oneOf"] = [{"required": ["label"]}, {"required": ["score"]}]
    schemas: Schema = {**views, "Error": error_schema(), "Problem": problem_schema()}
    paths: Schema = {**fixed_paths(), **job_paths(), **upload_paths(), **webhook_paths()}
    models = pipeline.offer.router.catalog.models.values()
    known = [_Family(pipeline, model, visible) for model in models]
    for family in known:
        for compiled in family.of_objects:
            schemas |= job_schemas(compiled)
    families = [family for family in known if family.versions]
    for family in families:
        for compiled in family.versions:
            schemas |= version_schemas(compiled, family.selectors(compiled))
        for major in (1, 2):
            path = f"/api/v{major}/models/{family.name}/predict"
            operation_id = f"predict_{family.name}_v{major}"
            paths[path] = {"post": _predict_operation(operation_id, family, [], major)}
    default = pipeline.offer.router.catalog.default_model
    for family in families:
        if family.name == default:
            others = [other for other in families if other is not family]
            paths |= _default_paths(family, others)
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
            {"name": "uploads", "description": "Large files: signed addresses, and what came"},
            {"name": "feedback", "description": "The truth about earlier predictions"},
            {"name": "webhooks", "description": "Who is told of ends of jobs, and how that went"},
            {"name": "jobs", "description": "Work that takes minutes, or that is left"},
            {"name": "usage", "description": "What the tenant used, and what is left"},
            {"name": "health", "description": "For load balancers and orchestrators"},
        ],
        "paths": dict(sorted(paths.items())),
        "webhooks": webhook_events(),
        "security": [{"bearer": []}, {"key": []}, {}],
        "components": {
            "securitySchemes": SECURITY,
            "responses": error_responses({429: RATE_HEADERS}),
            "schemas": dict(sorted(schemas.items())),
        },
    }


class _Family:
    """A model with the contracts of the versions that answer, and of those that take objects."""

    def __init__(self, pipeline: Pipeline, model: Model, visible: frozenset[ModelRef]) -> None:
        self.name = model.name
        self._selectors = {
            name: version
            for name, version in selectors(model).items()
            if ModelRef(model.name, version) in visible
        }
        answering = sorted(set(self._selectors.values()))
        named = [pipeline.offer.contracts[ModelRef(model.name, v)] for v in answering]
        self.versions = [compiled for compiled in named if compiled.is_answered_at_once]
        self.of_objects = [compiled for compiled in named if compiled.job_inputs is not None]
        standard = model.default or model.versions[-1]
        self.standard = pipeline.offer.contracts[ModelRef(model.name, standard)].contract

    def selectors(self, compiled: CompiledContract) -> list[str]:
        """What selects a version."""
        return [name for name, v in self._selectors.items() if v == compiled.ref.version]

    def all_selectors(self) -> list[str]:
        """What selects any version."""
        return list(self._selectors)


def _default_paths(default: _Family, others: list[_Family]) -> Schema:
    paths: Schema = {
        f"/api/v{major}/predict": {
            "post": _predict_operation(f"predict_v{major}", default, others, major)
        }
        for major in (1, 2)
    }
    operation = _predict_operation("predict", default, others, 1)
    operation["summary"] += "; the API major by Accept"
    versions = [compiled for family in (default, *others) for compiled in family.versions]
    operation["responses"]["200"]["content"] = {
        media_type.decode(): {"schema": _answers(versions, major)}
        for major, media_type in MEDIA_TYPES.items()
    } | {"application/json": {"schema": _answers(versions, 1)}}
    operation["responses"]["406"] = error_response(406)
    paths["/api/predict"] = {"post": operation}
    return paths


def _predict_operation(
    operation_id: str, family: _Family, others: list[_Family], major: int
) -> Schema:
    """The operation of a model, and of others that the body may name instead."""
    requests = [ref(schema_name(compiled, "Request")) for compiled in family.versions]
    versions = list(family.versions)
    names = family.all_selectors()
    for other in others:
        versions += other.versions
        names += other.all_selectors()
        requests += [
            {"allOf": [ref(schema_name(compiled, "Request"))], "required": ["model"]}
            for compiled in other.versions
        ]
    examples = {
        f"{compiled.ref.version} {index}": {
            "value": {"model_version": str(compiled.ref.version), "inputs": example}
        }
        for compiled in family.versions
        for index, example in enumerate(compiled.contract.examples)
    }
    return {
        "operationId": operation_id,
        "tags": ["predictions"],
        "summary": family.standard.title,
        "description": family.standard.description or family.standard.title,
        "parameters": [
            *predict_parameters(sorted(set(names))),
            prefer(waits_alone=False),
            idempotency_key(),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": requests}, "examples": examples}},
        },
        "responses": {
            "200": {
                "description": "The prediction",
                "headers": header_objects(_PREDICT_HEADERS),
                "content": {"application/json": {"schema": _answers(versions, major)}},
            },
            "202": accepted(),
            **{str(status): error_response(status) for status in _PREDICT_STATUSES},
        },
    }


def _answers(versions: list[CompiledContract], major: int) -> Schema:
    return {"anyOf": [ref(schema_name(compiled, f"AnswerV{major}")) for compiled in versions]}
