"""What decisions about a model have in common: their outcome, look-ups, refusals."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from control_plane.errors import TidegateError
from control_plane.routing.state import EndedRollout, ModelState, Rollout, VersionState


class Decided(Struct, frozen=True, kw_only=True):
    """What becomes of a model.

    Attributes:
        state: As it shall be; the store fills in its revision and times.
        action: For the audit log.
        ended: What is kept of a rollout that ends with this step, or whose end is undone.
    """

    state: ModelState
    action: str
    ended: EndedRollout | None = None


def life_conflict(state: ModelState, message: str, **details: Any) -> TidegateError:
    """The refusal of what a life or the rollout does not allow.

    Args:
        state: Of the model.
        message: What stands in the way, and what to do.
        details: Further facts.
    """
    rollout = None if state.rollout is None else state.rollout.id
    facts = {"model": state.name, "stable": state.stable, "rollout": rollout, **details}
    return TidegateError(message, code="LIFE_CONFLICT", details=facts)


def version_of(state: ModelState, version: str) -> VersionState:
    """Where a version stands.

    Raises:
        TidegateError: ``MODEL_VERSION_NOT_FOUND``.
    """
    found = state.versions.get(version)
    if found is None:
        raise TidegateError(
            f"{state.name} has no such version",
            code="MODEL_VERSION_NOT_FOUND",
            details={"versions": list(state.versions)},
        )
    return found


def with_version(state: ModelState, version: str, stands: VersionState) -> ModelState:
    """The model with one version standing elsewhere."""
    return structs.replace(state, versions={**state.versions, version: stands})


def running(state: ModelState) -> Rollout:
    """The rollout in force.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if there is none.
    """
    if state.rollout is None:
        raise life_conflict(state, f"{state.name} has no rollout: start one first")
    return state.rollout


def refuse_in_rollout(state: ModelState, version: str, doing: str) -> None:
    """Leave the versions of a running rollout alone.

    Args:
        state: Of the model.
        version: That is to be changed.
        doing: What is refused, as in ``cannot be retired``.

    Raises:
        TidegateError: ``LIFE_CONFLICT`` if the version is part of the rollout.
    """
    if takes_part(state, version):
        raise life_conflict(
            state,
            f"{version} is part of the running rollout and cannot be {doing}: "
            "promote or abort the rollout first",
            version=version,
        )


def takes_part(state: ModelState, version: str) -> bool:
    """True if a version is the stable one or a candidate of the running rollout."""
    rollout = state.rollout
    if rollout is None:
        return False
    return version == rollout.stable or any(c.version == version for c in rollout.candidates)
