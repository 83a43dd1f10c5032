"""The models that there are, for those who call them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from control_plane.api.catalog_views import (
    CandidateView,
    ModelDetail,
    ModelList,
    ModelView,
    RolloutView,
    SchemaView,
    StreamView,
    VersionList,
    VersionView,
)
from control_plane.api.visit import principal_of
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.streams import job_answer
from control_plane.errors import AdmissionUnavailable, TidegateError
from control_plane.pipeline import Pipeline
from control_plane.routing.catalog import Model
from control_plane.routing.selection import Route
from control_plane.routing.shares import Share
from control_plane.services import Services
from control_plane.types import ModelRef, Version


@get("/api/v1/models", sync_to_thread=False)
def list_models(request: Request[Any, Any, Any], state: State) -> ModelList:
    """Every model that the caller may use."""
    shown = _Shown(request, state)
    models = [shown.view(model) for model in shown.models()]
    default = shown.pipeline.offer.router.catalog.default_model
    named = any(model.name == default for model in models)
    return ModelList(models, default if named else None)


@get("/api/v1/models/{model:str}")
async def get_model(
    request: Request[Any, Any, Any], state: State, model: FromPath[str]
) -> ModelDetail:
    """One model with its versions, contracts' figures, model cards and rollout."""
    shown = _Shown(request, state)
    found = shown.model(model)
    view = shown.view(found)
    return ModelDetail(
        name=view.name,
        title=view.title,
        default_version=view.default_version,
        aliases=view.aliases,
        versions=await shown.version_views(found),
        rollout=_rollout(found),
    )


@get("/api/v1/models/{model:str}/versions")
async def list_versions(
    request: Request[Any, Any, Any], state: State, model: FromPath[str]
) -> VersionList:
    """The versions of one model."""
    shown = _Shown(request, state)
    found = shown.model(model)
    return VersionList(found.name, str(shown.default(found)), await shown.version_views(found))


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
    compiled = shown.pipeline.offer.contracts[route.ref]
    flat, data = compiled.answers.kind.schemas()
    view = SchemaView(
        model=model,
        model_version=str(route.ref.version),
        inputs=compiled.inputs.schema,
        answer={"v1": flat, "v2": data},
        examples=compiled.contract.examples,
        stream=_stream_view(compiled),
    )
    return Response(view, headers={"x-model-version": str(route.ref.version)})


def _stream_view(compiled: CompiledContract) -> StreamView | None:
    stream, of_jobs = compiled.stream, compiled.job_inputs
    if stream is None or of_jobs is None:
        return None
    return StreamView(
        object=stream.object,
        media_types=stream.media_types,
        max_bytes=stream.max_bytes,
        units_per_mib=stream.units_per_mib,
        inputs=of_jobs.schema,
        answer=job_answer(stream, compiled.answers.kind),
    )


class _Shown:
    """The models as one caller sees them: what it may not use is not there."""

    def __init__(self, request: Request[Any, Any, Any], state: State) -> None:
        services: Services = state.services
        self.pipeline = services.pipeline
        self._accuracies = services.accuracies
        self._principal = principal_of(request)

    def models(self) -> list[Model]:
        catalog = self.pipeline.offer.router.catalog
        return [model for model in catalog.models.values() if self._versions(model)]

    def model(self, name: str) -> Model:
        try:
            found = self.pipeline.offer.router.model(name)
        except TidegateError as error:
            raise self.pipeline.rights.told_to(self._principal, error) from None
        if not self._versions(found):
            names = [model.name for model in self.models()]
            message = f"There is no model {name}"
            raise TidegateError(message, code="MODEL_NOT_FOUND", details={"models": names})
        return found

    def route(self, name: str, selector: str | None) -> Route:
        model = self.model(name)
        try:
            route = self.pipeline.offer.router.resolve(name, selector)
        except TidegateError as error:
            raise self.pipeline.rights.told_to(self._principal, error, name) from None
        if not self.pipeline.rights.is_visible(self._principal, route.ref):
            versions = [str(version) for version in self._versions(model)]
            message = f"{name} has no such version that the caller may use"
            raise TidegateError(
                message, code="MODEL_VERSION_NOT_FOUND", details={"versions": versions}
            )
        return route

    def view(self, model: Model) -> ModelView:
        versions = self._versions(model)
        default = self.default(model)
        contract = self.pipeline.offer.contracts[ModelRef(model.name, default)].contract
        aliases = sorted(model.public_aliases.items())
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

    async def version_views(self, model: Model) -> list[VersionView]:
        versions = self._versions(model)
        accuracy: dict[str, Share] = {}
        with suppress(AdmissionUnavailable):
            accuracy = await self._accuracies.of(model.name, [str(each) for each in versions])
        return [
            _version(self.pipeline, model, version, accuracy.get(str(version)))
            for version in versions
        ]

    def _versions(self, model: Model) -> list[Version]:
        return self.pipeline.rights.visible_versions(self._principal, model.name)


def _rollout(model: Model) -> RolloutView | None:
    if model.experiment is None or not model.experiment.rollout.public:
        return None
    rollout = model.experiment.rollout
    candidates = [
        CandidateView(each.version, each.weight, each.shadow) for each in rollout.candidates
    ]
    return RolloutView(rollout.id, rollout.stable, candidates, rollout.sticky_by)


def _version(
    pipeline: Pipeline, model: Model, version: Version, accuracy: Share | None
) -> VersionView:
    ref = ModelRef(model.name, version)
    compiled = pipeline.offer.contracts[ref]
    contract = compiled.contract
    notice = model.notices.get(version)
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
        deprecated_at=notice.deprecated_at if notice else None,
        sunset_at=notice.sunset_at or None if notice else None,
        info=notice.info or None if notice else None,
        accuracy=accuracy,
    )
