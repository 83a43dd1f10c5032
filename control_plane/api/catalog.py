"""The models that there are, for those who call them."""

from __future__ import annotations

from typing import Any

from litestar import Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from control_plane.pipeline import Pipeline
from control_plane.routing.catalog import Model
from control_plane.services import Services
from control_plane.types import ModelRef, Version


class VersionView(Struct, frozen=True):
    """A version of a model.

    Attributes:
        version: Semantic version.
        status: Where its life stands.
        ready: True if it can answer now.
        title: One line for people.
        description: More lines, Markdown.
        anonymous: True if callers without a key may use it.
        units: Price of one input.
        deadline_ms: Upper bound of a request's deadline.
        answer: Kind of the answer.
        card: The model card.
    """

    version: str
    status: str
    ready: bool
    title: str
    description: str
    anonymous: bool
    units: int
    deadline_ms: int
    answer: str
    card: dict[str, Any] | None


class ModelView(Struct, frozen=True):
    """A model.

    Attributes:
        name: Public name.
        title: Of the default version.
        default_version: Answers who names none.
        aliases: Names that stand for a version.
        versions: Every version, ascending.
    """

    name: str
    title: str
    default_version: str
    aliases: dict[str, str]
    versions: list[str]


class ModelList(Struct, frozen=True):
    """Every model, and which answers who names none."""

    models: list[ModelView]
    default_model: str | None


class ModelDetail(Struct, frozen=True):
    """A model with its versions in full."""

    name: str
    title: str
    default_version: str
    aliases: dict[str, str]
    versions: list[VersionView]


class VersionList(Struct, frozen=True):
    """The versions of a model."""

    model: str
    default_version: str
    versions: list[VersionView]


class SchemaView(Struct, frozen=True):
    """What a version takes and gives.

    Attributes:
        model: Public name.
        model_version: The version that was selected.
        inputs: JSON Schema 2020-12 of ``inputs``.
        answer: JSON Schema of the answer in API v1 and of ``data`` in API v2.
        examples: Inputs that work.
    """

    model: str
    model_version: str
    inputs: dict[str, Any]
    answer: dict[str, Any]
    examples: list[dict[str, Any]]


@get("/api/v1/models", sync_to_thread=False)
def list_models(state: State) -> ModelList:
    """Every model."""
    services: Services = state.services
    catalog = services.pipeline.router.catalog
    models = [_view(services.pipeline, model) for model in catalog.models.values()]
    return ModelList(models, catalog.default_model)


@get("/api/v1/models/{model:str}", sync_to_thread=False)
def get_model(state: State, model: FromPath[str]) -> ModelDetail:
    """One model with its versions, contracts' figures and model cards."""
    services: Services = state.services
    found = services.pipeline.router.model(model)
    view = _view(services.pipeline, found)
    return ModelDetail(
        view.name,
        view.title,
        view.default_version,
        view.aliases,
        [_version(services.pipeline, found, version) for version in found.versions],
    )


@get("/api/v1/models/{model:str}/versions", sync_to_thread=False)
def list_versions(state: State, model: FromPath[str]) -> VersionList:
    """The versions of one model."""
    services: Services = state.services
    found = services.pipeline.router.model(model)
    versions = [_version(services.pipeline, found, version) for version in found.versions]
    return VersionList(found.name, str(found.default), versions)


@get("/api/v1/models/{model:str}/schema", sync_to_thread=False)
def get_schema(
    state: State, model: FromPath[str], version: FromQuery[str | None] = None
) -> Response[SchemaView]:
    """What a version takes and gives; the query parameter ``version`` selects it."""
    services: Services = state.services
    route = services.pipeline.router.resolve(model, version)
    compiled = services.pipeline.contracts[route.ref]
    flat, data = compiled.answers.kind.schemas()
    view = SchemaView(
        model=model,
        model_version=str(route.ref.version),
        inputs=compiled.inputs.schema,
        answer={"v1": flat, "v2": data},
        examples=compiled.contract.examples,
    )
    return Response(view, headers={"x-model-version": str(route.ref.version)})


def _view(pipeline: Pipeline, model: Model) -> ModelView:
    default = pipeline.contracts[ModelRef(model.name, model.default)]
    return ModelView(
        name=model.name,
        title=default.contract.title,
        default_version=str(model.default),
        aliases={alias: str(version) for alias, version in sorted(model.aliases.items())},
        versions=[str(version) for version in model.versions],
    )


def _version(pipeline: Pipeline, model: Model, version: Version) -> VersionView:
    ref = ModelRef(model.name, version)
    compiled = pipeline.contracts[ref]
    contract = compiled.contract
    return VersionView(
        version=str(version),
        status=str(model.lives[version]),
        ready=pipeline.is_ready(ref),
        title=contract.title,
        description=contract.description,
        anonymous=contract.anonymous,
        units=contract.units,
        deadline_ms=contract.deadline_ms,
        answer=contract.answer.kind,
        card=compiled.card,
    )
