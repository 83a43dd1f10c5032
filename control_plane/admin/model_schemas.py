"""Shapes of the operators' API: models and the lives of their versions."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.admin.schemas import Moment, NextCursor, Revision
from control_plane.admission.accounts.shapes import Epoch
from control_plane.contracts.compiler import CompiledContract
from control_plane.routing.shares import Share
from control_plane.routing.state import AliasName, ModelState, VersionName, VersionState
from control_plane.types import FileFault, Life, ModelRef, Version
from control_plane.versions.shelf import Shelf, Turnover
from control_plane.versions.standing import Standing

Info = Annotated[str, Meta(max_length=2000, description="http or https URL; empty for none")]


class PromoteBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a version is made the stable one."""

    allow_breaking: Annotated[
        bool, Meta(description="True: although its contract breaks that of the stable version")
    ] = False


class DeprecateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the end of a version is announced."""

    sunset_at: Annotated[Moment, Meta(description="Epoch second after which it is retired")]
    info: Info = ""


class AliasBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an alias stands for."""

    version: VersionName


class VersionView(Struct, frozen=True, kw_only=True):
    """Where a version stands."""

    version: VersionName
    life: Life
    since: Annotated[Epoch, Meta(description="When this life began")]
    loaded: Annotated[bool, Meta(description="True if the Tritons are to have it")]
    deprecated_at: Moment | None
    sunset_at: Moment | None
    info: str | None
    rolled_back: Annotated[str | None, Meta(description="The rollout that took it back")]
    note: Annotated[str, Meta(description="Why it stands there")]
    title: Annotated[str | None, Meta(description="Of its contract; null without one")]
    triton: Annotated[str | None, Meta(description="Triton model and version that serve it")]
    servers: Annotated[list[Standing], Meta(description="How far it is on each Triton")]
    accuracy: Annotated[
        Share | UnsetType | None,
        Meta(
            description="By feedback; null without any. Single models have it while the limits "
            "server answers"
        ),
    ] = UNSET


class ModelView(Struct, frozen=True, kw_only=True):
    """A model and its versions."""

    name: str
    stable: Annotated[
        VersionName | None, Meta(description="The version that answers who names none")
    ]
    latest: Annotated[VersionName | None, Meta(description="The highest that is not retired")]
    canary: Annotated[VersionName | None, Meta(description="The running rollout's candidate")]
    aliases: Annotated[dict[AliasName, VersionName], Meta(description="Operators' own")]
    rollout: Annotated[str | None, Meta(description="Id of the running rollout")]
    versions: Annotated[list[VersionView], Meta(description="Ascending")]
    revision: Revision
    created_at: Epoch
    updated_at: Epoch


class ModelPage(Struct, frozen=True):
    """Models by name."""

    items: list[ModelView]
    next_cursor: NextCursor


class VersionRef(Struct, frozen=True):
    """A version of a model."""

    model: str
    version: VersionName


class RefreshView(Struct, frozen=True, kw_only=True):
    """What another reading of the model repository found."""

    versions: Annotated[int, Meta(description="Versions whose contract has no fault")]
    added: list[VersionRef]
    gone: list[VersionRef]
    faults: Annotated[
        list[FileFault],
        Meta(description="Why other versions cannot be served, or are served as they were"),
    ]


def model_view(
    state: ModelState,
    contracts: dict[str, CompiledContract],
    servers: dict[str, list[Standing]],
    accuracy: dict[str, Share | None] | None = None,
) -> ModelView:
    """What is shown of a model.

    Args:
        state: Of the model.
        contracts: Of its versions.
        servers: How far its versions are on each Triton.
        accuracy: Of its versions; None if that is not known.
    """
    names = sorted(state.versions, key=Version.parse)
    answering = [name for name in names if state.versions[name].life is not Life.RETIRED]
    return ModelView(
        name=state.name,
        stable=state.stable,
        latest=answering[-1] if answering else None,
        canary=_canary(state),
        aliases=state.aliases,
        rollout=None if state.rollout is None else state.rollout.id,
        versions=[
            _version_view(
                name,
                state.versions[name],
                contracts.get(name),
                servers.get(name, []),
                UNSET if accuracy is None else accuracy.get(name),
            )
            for name in names
        ],
        revision=state.revision,
        created_at=state.created_at,
        updated_at=state.updated_at,
    )


def refresh_view(shelf: Shelf, found: Turnover) -> RefreshView:
    """What is shown of another reading of the repository."""
    return RefreshView(
        versions=len(shelf.contracts),
        added=_refs(found.added),
        gone=_refs(found.gone),
        faults=list(shelf.faults),
    )


def _version_view(
    name: str,
    stands: VersionState,
    compiled: CompiledContract | None,
    servers: list[Standing],
    accuracy: Share | UnsetType | None,
) -> VersionView:
    return VersionView(
        version=name,
        life=stands.life,
        since=stands.since,
        loaded=stands.loaded,
        deprecated_at=stands.deprecated_at or None,
        sunset_at=stands.sunset_at or None,
        info=stands.info or None,
        rolled_back=stands.rolled_back or None,
        note=stands.note,
        title=None if compiled is None else compiled.contract.title,
        triton=None if compiled is None else str(compiled.backing),
        servers=servers,
        accuracy=accuracy,
    )


def _canary(state: ModelState) -> str | None:
    if state.rollout is None:
        return None
    return max(state.rollout.candidates, key=lambda candidate: candidate.weight).version


def _refs(refs: tuple[ModelRef, ...]) -> list[VersionRef]:
    return [VersionRef(ref.name, str(ref.version)) for ref in refs]
