"""The models and versions that exist, as one immutable snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from control_plane.routing.experiment import Experiment
from control_plane.routing.state import ModelState, VersionState
from control_plane.types import Life, Version

RESERVED: Final = ("stable", "latest", "canary")
"""Aliases that follow from the state; operators' own have other names."""


class Notice(Struct, frozen=True):
    """What clients of a deprecated version are told.

    Attributes:
        deprecated_at: Epoch second of the deprecation.
        sunset_at: Epoch second after which the version is retired; 0 for none.
        info: URL where they read what to do; empty for none.
        successor: The version that answers who names none, if it is another.
    """

    deprecated_at: int
    sunset_at: int
    info: str
    successor: Version | None


class Model(Struct, frozen=True):
    """A model and its versions.

    Attributes:
        name: Public name.
        versions: Ascending.
        lives: The life of each version.
        aliases: Names that stand for a version: ``stable``, ``latest`` and ``canary`` where they
            exist, and operators' own.
        default: The version that answers who names none; None if none is trusted.
        notices: Of deprecated versions.
        experiment: The running rollout.
        is_known: False until the state of the model has been read.
        has_stable: True if there is a stable version, here or elsewhere.
    """

    name: str
    versions: tuple[Version, ...]
    lives: Mapping[Version, Life]
    aliases: Mapping[str, Version]
    default: Version | None
    notices: Mapping[Version, Notice] = {}
    experiment: Experiment | None = None
    is_known: bool = True
    has_stable: bool = False

    @property
    def public_aliases(self) -> Mapping[str, Version]:
        """The aliases that clients are told of: ``canary`` only of a rollout that they may see."""
        if self.experiment is None or self.experiment.rollout.public:
            return self.aliases
        return {name: version for name, version in self.aliases.items() if name != "canary"}


class Catalog:
    """Every model, and the default one."""

    def __init__(self, models: Iterable[Model], default_model: str | None) -> None:
        """Build the snapshot.

        Args:
            models: In any order.
            default_model: The model of requests that name none; without it, the only model.
        """
        self.models: Mapping[str, Model] = {
            model.name: model for model in sorted(models, key=lambda model: model.name)
        }
        only = next(iter(self.models)) if len(self.models) == 1 else None
        self.default_model = default_model or only


def unknown(name: str, versions: Collection[Version]) -> Model:
    """A model whose state has not been read: it is listed, and answers nobody."""
    lives = dict.fromkeys(versions, Life.EXPERIMENTAL)
    return Model(name, tuple(sorted(versions)), lives, {}, None, is_known=False)


def known(state: ModelState, versions: Collection[Version]) -> Model:
    """A model as its state says.

    Args:
        state: Of the model.
        versions: Those that this process has contracts of, at least one; of another version
            nothing is known here, and one that has no state yet is experimental.
    """
    standing = {version: state.versions.get(str(version)) for version in sorted(versions)}
    lives = {
        version: Life.EXPERIMENTAL if stands is None else stands.life
        for version, stands in standing.items()
    }
    default = _default(state, standing, lives)
    experiment = None
    if state.rollout is not None and default is not None and state.rollout.stable == str(default):
        experiment = Experiment(state.name, state.rollout, standing.keys())
    return Model(
        name=state.name,
        versions=tuple(standing),
        lives=lives,
        aliases=_aliases(state, lives, default),
        default=default,
        notices={
            version: Notice(
                stands.deprecated_at,
                stands.sunset_at,
                stands.info,
                default if default != version else None,
            )
            for version, stands in standing.items()
            if stands is not None and stands.life is Life.DEPRECATED
        },
        experiment=experiment,
        has_stable=state.stable is not None,
    )


def _default(
    state: ModelState,
    standing: Mapping[Version, VersionState | None],
    lives: Mapping[Version, Life],
) -> Version | None:
    """The stable version; without it the latest that is as trusted and was not rolled back.

    Where none was ever stable the latest of the most trusted answers.
    """
    for version, stands in standing.items():
        if str(version) == state.stable and stands is not None and stands.life is Life.STABLE:
            return version
    lives_left = (Life.STABLE, Life.EXPERIMENTAL, Life.DEPRECATED)
    for life in lives_left if state.stable is None else (Life.STABLE,):
        trusted = [
            version
            for version, stands in standing.items()
            if lives[version] is life and not (stands is not None and stands.rolled_back)
        ]
        if trusted:
            return trusted[-1]
    return None


def _aliases(
    state: ModelState, lives: Mapping[Version, Life], default: Version | None
) -> dict[str, Version]:
    named = {alias: Version.parse(text) for alias, text in state.aliases.items()}
    aliases = {alias: version for alias, version in named.items() if version in lives}
    answering = [version for version, life in lives.items() if life is not Life.RETIRED]
    if answering:
        aliases["latest"] = answering[-1]
    if default is not None and lives[default] is Life.STABLE:
        aliases["stable"] = default
    if state.rollout is not None:
        first = max(state.rollout.candidates, key=lambda candidate: candidate.weight)
        if Version.parse(first.version) in lives:
            aliases["canary"] = Version.parse(first.version)
    return aliases
