"""Which models are to be loaded, and what that asks of one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from control_plane.inference.backend import ModelState


class Target(Struct, frozen=True):
    """Which Triton models are to be loaded.

    Attributes:
        wanted: The versions of each model that have to be ready; of an empty set any one does. It
            has the steps of its ensembles among its models (``model_config.with_steps``).
        may_go: The models that are unloaded if they are not wanted. No step of an ensemble that
            stays may be among them: Triton would take the ensemble down with it.
    """

    wanted: Mapping[str, frozenset[str]]
    may_go: frozenset[str] = frozenset()


class Steps(Struct, frozen=True):
    """What brings one server closer to a target.

    Attributes:
        load: Models to load, by name.
        unload: Models to unload, by name.
    """

    load: list[str]
    unload: list[str]


def steps(index: Sequence[ModelState], target: Target, asked: Set[str]) -> Steps:
    """Compare what a server has with what it is to have.

    Args:
        index: What it has.
        target: What it is to have.
        asked: Models that are to be loaded again although they are ready.
    """
    loading = _in_state(index, "loading")
    load = {
        model
        for model in target.wanted
        if model in asked or missing(index, model, target.wanted[model])
    }
    unload = (_in_state(index, "ready") & target.may_go) - target.wanted.keys()
    return Steps(sorted(load - loading), sorted(unload - loading))


def missing(index: Sequence[ModelState], model: str, versions: frozenset[str]) -> str:
    """Which wanted version of a model is not ready, and why; empty if none is.

    Args:
        index: What a server has.
        model: The model's name.
        versions: The versions that are wanted; empty for any one.
    """
    known = {state.backing.version: state for state in index if state.backing.model == model}
    ready = {version for version, state in known.items() if state.state == "ready"}
    if versions <= ready and ready:
        return ""
    for version in sorted(versions - ready, key=lambda text: (len(text), text)):
        reason = known[version].reason if version in known else ""
        return f"version {version} is not ready: {reason or _UNSAID}"
    return f"no version is ready: {_UNSAID}"


_UNSAID = "it is not in the repository, or its version_policy leaves it out"


def _in_state(index: Sequence[ModelState], state: str) -> set[str]:
    return {each.backing.model for each in index if each.state == state}
