"""The models and versions that exist, as one immutable snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from control_plane.types import Life, ModelRef, Version


class CatalogEntry(Struct, frozen=True):
    """One version and where its life stands."""

    ref: ModelRef
    life: Life


class Model(Struct, frozen=True):
    """A model and its versions.

    Attributes:
        name: Public name.
        versions: Ascending.
        lives: The life of each version.
        aliases: Names that stand for a version: ``stable`` and ``latest`` where they exist.
    """

    name: str
    versions: tuple[Version, ...]
    lives: Mapping[Version, Life]
    aliases: Mapping[str, Version]

    @property
    def default(self) -> Version:
        """The version that answers who names none: the latest stable, else the latest."""
        return self.aliases.get("stable") or self.aliases.get("latest") or self.versions[-1]


class Catalog:
    """Every model, and the default one."""

    def __init__(self, entries: Iterable[CatalogEntry], default_model: str | None) -> None:
        """Build the snapshot.

        Args:
            entries: One a version.
            default_model: The model of requests that name none; without it, the only model.
        """
        lives: dict[str, dict[Version, Life]] = {}
        for entry in entries:
            lives.setdefault(entry.ref.name, {})[entry.ref.version] = entry.life
        self.models: Mapping[str, Model] = {
            name: _model(name, versions) for name, versions in sorted(lives.items())
        }
        only = next(iter(self.models)) if len(self.models) == 1 else None
        self.default_model = default_model or only


def _model(name: str, lives: dict[Version, Life]) -> Model:
    versions = tuple(sorted(lives))
    stable = [version for version in versions if lives[version] is Life.STABLE]
    answering = [version for version in versions if lives[version] is not Life.RETIRED]
    aliases = {"latest": answering[-1]} if answering else {}
    if stable:
        aliases["stable"] = stable[-1]
    return Model(name, versions, lives, aliases)
