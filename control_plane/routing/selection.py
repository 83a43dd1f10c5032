"""From what a client asked for to the version that answers."""

from __future__ import annotations

import re
from typing import Final

from control_plane.errors import TidegateError
from control_plane.routing.catalog import Catalog, Model
from control_plane.types import MODEL_NAME, Life, ModelRef, Route, Version

_SELECTOR: Final = re.compile(
    r"v(?P<major>0|[1-9][0-9]{0,5})"
    r"(?:\.(?P<minor>0|[1-9][0-9]{0,5})(?:\.(?P<patch>0|[1-9][0-9]{0,5}))?)?"
    r"|(?P<alias>[a-z][a-z0-9-]{0,62})"
)
MAX_CACHED: Final = 1024


class Router:
    """Finds the version that answers a request.

    A selector is an exact version (``v2.3.1``), a prefix (``v2``, ``v2.3``: the latest stable
    version that begins so, else the latest), an alias, or nothing: the default version.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._cache: dict[tuple[str | None, str | None], Route] = {}

    def resolve(self, model: str | None, selector: str | None) -> Route:
        """Find the version.

        Args:
            model: Public name; None for the default model.
            selector: What the client asked for; None for the default version.

        Raises:
            TidegateError: MODEL_REQUIRED, MODEL_NOT_FOUND, MODEL_VERSION_NOT_FOUND or
                MODEL_VERSION_RETIRED.
        """
        found = self._cache.get((model, selector))
        if found is None:
            found = self._resolve(model, selector)
            if len(self._cache) < MAX_CACHED:
                self._cache[(model, selector)] = found
        return found

    def model(self, name: str | None) -> Model:
        """The model of a name, or the default one.

        Raises:
            TidegateError: MODEL_REQUIRED or MODEL_NOT_FOUND.
        """
        wanted = name or self.catalog.default_model
        if wanted is None:
            raise TidegateError(
                "The request names no model and there is no default one",
                code="MODEL_REQUIRED",
                details={"models": list(self.catalog.models)},
            )
        found = self.catalog.models.get(wanted)
        if found is None:
            shown = wanted if MODEL_NAME.fullmatch(wanted) else "of this name"
            raise TidegateError(
                f"There is no model {shown}",
                code="MODEL_NOT_FOUND",
                details={"models": list(self.catalog.models)},
            )
        return found

    def _resolve(self, name: str | None, selector: str | None) -> Route:
        model = self.model(name)
        explicit = selector not in {None, "stable"}
        version = model.default if selector is None else _select(model, selector)
        if version is None:
            raise _no_version(model, selector or "")
        if model.lives[version] is Life.RETIRED:
            raise TidegateError(
                f"{model.name} {version} is retired",
                code="MODEL_VERSION_RETIRED",
                details={"versions": _answering(model)},
            )
        return Route(ModelRef(model.name, version), explicit=explicit)


def selectors(model: Model) -> dict[str, Version]:
    """Every exact version, prefix and alias of a model, and the version that it means."""
    names = set(model.aliases)
    for version in model.versions:
        exact = str(version)
        names |= {exact, exact.rpartition(".")[0], exact.partition(".")[0]}
    found = {name: _select(model, name) for name in sorted(names)}
    return {
        name: version
        for name, version in found.items()
        if version is not None and model.lives[version] is not Life.RETIRED
    }


def _select(model: Model, selector: str) -> Version | None:
    match = _SELECTOR.fullmatch(selector)
    if match is None:
        return None
    if match["alias"]:
        return model.aliases.get(match["alias"])
    wanted = [int(part) for part in (match["major"], match["minor"], match["patch"]) if part]
    begins = [
        version
        for version in model.versions
        if [version.major, version.minor, version.patch][: len(wanted)] == wanted
    ]
    if len(wanted) < 3:
        stable = [version for version in begins if model.lives[version] is Life.STABLE]
        begins = stable or [v for v in begins if model.lives[v] is not Life.RETIRED] or begins
    return begins[-1] if begins else None


def _answering(model: Model) -> list[str]:
    return [str(v) for v in model.versions if model.lives[v] is not Life.RETIRED]


def _no_version(model: Model, selector: str) -> TidegateError:
    shown = selector if _SELECTOR.fullmatch(selector) else "of this name"
    return TidegateError(
        f"{model.name} has no version {shown}",
        code="MODEL_VERSION_NOT_FOUND",
        details={"versions": _answering(model), "aliases": sorted(model.aliases)},
    )
