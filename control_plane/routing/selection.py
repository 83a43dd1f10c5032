"""From what a client asked for to the version that answers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from control_plane.errors import ModelUnavailable, TidegateError
from control_plane.routing.catalog import Catalog, Model, Notice
from control_plane.routing.experiment import Experiment
from control_plane.types import MODEL_NAME, Life, ModelRef, Version

_SELECTOR: Final = re.compile(
    r"v(?P<major>0|[1-9][0-9]{0,5})"
    r"(?:\.(?P<minor>0|[1-9][0-9]{0,5})(?:\.(?P<patch>0|[1-9][0-9]{0,5}))?)?"
    r"|(?P<alias>[a-z][a-z0-9-]{0,62})"
)
MAX_CACHED: Final = 1024


class Route(Struct, frozen=True):
    """The decision which version answers a request.

    Attributes:
        ref: The version that answers, unless the experiment says otherwise.
        explicit: True if the client chose it, so that it is part of no experiment.
        experiment: The rollout that the request takes part in.
        notice: What the client of a deprecated version is told.
    """

    ref: ModelRef
    explicit: bool
    experiment: Experiment | None = None
    notice: Notice | None = None


class Router:
    """Finds the version that answers a request.

    A selector is an exact version (``v2.3.1``), a prefix (``v2``, ``v2.3``: the latest stable
    version that begins so, else the latest), an alias, or nothing: the default version.
    """

    def __init__(self, catalog: Catalog, clock: Callable[[], float] = time.time) -> None:
        """Begin with a catalogue.

        Args:
            catalog: The models and versions.
            clock: Epoch seconds.
        """
        self.catalog = catalog
        self._clock = clock
        self._cache: dict[tuple[str | None, str | None], Route] = {}

    def follow(self, catalog: Catalog) -> None:
        """Answer from another catalogue from now on."""
        self.catalog = catalog
        self._cache = {}

    def resolve(self, model: str | None, selector: str | None) -> Route:
        """Find the version.

        Args:
            model: Public name; None for the default model.
            selector: What the client asked for; None for the default version.

        Raises:
            TidegateError: MODEL_REQUIRED, MODEL_NOT_FOUND, MODEL_VERSION_NOT_FOUND,
                MODEL_VERSION_RETIRED, or MODEL_UNAVAILABLE before the model's state is known.
        """
        found = self._cache.get((model, selector))
        if found is None:
            found = self._resolve(model, selector)
            if len(self._cache) < MAX_CACHED:
                self._cache[(model, selector)] = found
        if found.notice is not None and 0 < found.notice.sunset_at <= self._clock():
            raise _retired(self.model(model), found.ref.version)
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
        if not model.is_known:
            raise ModelUnavailable("The state of the model has not been read yet")
        explicit = selector not in {None, "stable"}
        version = model.default if selector is None else _select(model, selector)
        if version is None and not explicit and model.has_stable:
            raise ModelUnavailable("The stable version of the model is not here")
        if version is None:
            raise _no_version(model, selector)
        if model.lives[version] is Life.RETIRED:
            raise _retired(model, version)
        return Route(
            ModelRef(model.name, version),
            explicit=explicit,
            experiment=None if explicit else model.experiment,
            notice=model.notices.get(version),
        )


def selectors(model: Model) -> dict[str, Version]:
    """Every exact version, prefix and alias of a model, and the version that it means."""
    names = set(model.public_aliases)
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


def _retired(model: Model, version: Version) -> TidegateError:
    answering = [text for text in _answering(model) if text != str(version)]
    return TidegateError(
        f"{model.name} {version} is retired",
        code="MODEL_VERSION_RETIRED",
        details={"versions": answering},
    )


def _no_version(model: Model, selector: str | None) -> TidegateError:
    shown = selector if selector and _SELECTOR.fullmatch(selector) else "of this name"
    message = f"{model.name} has no version {shown}"
    if selector is None:
        message = f"No version of {model.name} answers by default; name one"
    return TidegateError(
        message,
        code="MODEL_VERSION_NOT_FOUND",
        details={"versions": _answering(model), "aliases": sorted(model.public_aliases)},
    )
