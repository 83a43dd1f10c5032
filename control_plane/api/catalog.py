"""The models that there are, for those who call them."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from control_plane.api.visit import principal_of
from control_plane.errors import TidegateError
from control_plane.pipeline import Pipeline
from control_plane.routing.catalog import Model
from control_plane.services import Services
from control_plane.types import ModelRef, Route, Version


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
def list_models(request: Request[Any, Any, Any], state: State) -> ModelList:
    """Every model that the caller may use."""
    shown = _Shown(request, state)
    models = [shown.view(model) for model in shown.models()]
    default = shown.pipeline.router.catalog.default_model
    named = any(model.name == default for model in models)
    return ModelList(models, default if named else None)


@get("/api/v1/models/{model:str}", sync_to_thread=False)
def get_model(request: Request[Any, Any, Any], state: State, model: FromPath[str]) -> ModelDetail:
    """One model with its versions, contracts' figures and model cards."""
    shown = _Shown(request, state)
    found = shown.model(model)
    view = shown.view(found)
    return ModelDetail(
        view.name, view.title, view.default_version, view.aliases, shown.version_views(found)
    )


@get("/api/v1/models/{model:str}/versions", sync_to_thread=False)
def list_versions(
    request: Request[Any, Any, Any], state: State, model: FromPath[str]
) -> VersionList:
    """The versions of one model."""
    shown = _Shown(request, state)
    found = shown.model(model)
    return VersionList(found.name, str(shown.default(found)), shown.version_views(found))


@get("/api/v1/models/{model:str}/schema", sync_to_thread=False)
def get_schema(
    request: Request[Any, Any, Any],
    state: State,
    model: FromPath[str],
    version: FromQuery[str | None] = None,
) -> Response[SchemaView]:
    """What a version takes and gives; the query parameter ``version`` selects it."""
    shown = _Shown(request, state)
    route = shown.route(model, version)
    compiled = shown.pipeline.contracts[route.ref]
    flat, data = compiled.answers.kind.schemas()
    view = SchemaView(
        model=model,
        model_version=str(route.ref.version),
        inputs=compiled.inputs.schema,
        answer={"v1": flat, "v2": data},
        examples=compiled.contract.examples,
    )
    return Response(view, headers={"x-model-version": str(route.ref.version)})


class _Shown:
    """The models as one caller sees them: what it may not use is not there."""

    def __init__(self, request: Request[Any, Any, Any], state: State) -> None:
        services: Services = state.services
        self.pipeline = services.pipeline
        self._principal = principal_of(request)

    def models(self) -> list[Model]:
        catalog = self.pipeline.router.catalog
        return [model for model in catalog.models.values() if self._versions(model)]

    def model(self, name: str) -> Model:
        try:
            found = self.pipeline.router.model(name)
        except TidegateError as error:
            raise self.pipeline.told_to(self._principal, error) from None
        if not self._versions(found):
            names = [model.name for model in self.models()]
            message = f"There is no model {name}"
            raise TidegateError(message, code="MODEL_NOT_FOUND", details={"models": names})
        return found

    def route(self, name: str, selector: str | None) -> Route:
        model = self.model(name)
        try:
            route = self.pipeline.router.resolve(name, selector)
        except TidegateError as error:
            raise self.pipeline.told_to(self._principal, error, name) from None
        if not self.pipeline.is_visible(self._principal, route.ref):
            versions = [str(version) for version in self._versions(model)]
            message = f"{name} has no such version that the caller may use"
            raise TidegateError(
                message, code="MODEL_VERSION_NOT_FOUND", details={"versions": versions}
            )
        return route

    def view(self, model: Model) -> ModelView:
        versions = self._versions(model)
        default = self.default(model)
        contract = self.pipeline.contracts[ModelRef(model.name, default)].contract
        aliases = sorted(model.aliases.items())
        return ModelView(
            name=model.name,
            title=contract.title,
            default_version=str(default),
            aliases={alias: str(version) for alias, version in aliases if version in versions},
            versions=[str(version) for version in versions],
        )

    def default(self, model: Model) -> Version:
        """The default version, or the latest that the caller may use in its place."""
        versions = self._versions(model)
        return model.default if model.default in versions else versions[-1]

    def version_views(self, model: Model) -> list[VersionView]:
        return [_version(self.pipeline, model, version) for version in self._versions(model)]

    def _versions(self, model: Model) -> list[Version]:
        return self.pipeline.visible_versions(self._principal, model.name)


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
