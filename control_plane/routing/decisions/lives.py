"""Lives of versions, what Triton is to have of them, and operators' names for them."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import structs

from control_plane.errors import Fault, InvalidInput, TidegateError
from control_plane.records.transaction import not_found
from control_plane.routing.catalog import RESERVED
from control_plane.routing.decisions.decided import (
    Decided,
    life_conflict,
    refuse_in_rollout,
    takes_part,
    version_of,
    with_version,
)
from control_plane.routing.decisions.gate import Gate, pass_gate
from control_plane.routing.state import MAX_ALIASES, AliasName, ModelState, VersionState
from control_plane.types import Life

LATEST_SUNSET: Final = 253_402_300_799
"""The last second of the year 9999."""

_INFO: Final = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2000}")
"""What RFC 3986 lets stand in a URL: it is sent in a header."""


def promote(state: ModelState, version: str, now: int, gate: Gate) -> Decided:
    """Make a version the stable one: it answers who names none.

    The one before stays stable in life.

    Args:
        state: Of the model.
        version: Experimental, deprecated, or stable in life.
        now: Epoch second.
        gate: What was found out about it.

    Raises:
        TidegateError: ``MODEL_VERSION_NOT_FOUND``, ``LIFE_CONFLICT``, ``CONTRACT_BREAKING`` or
            ``VERSION_NOT_READY``.
    """
    stands = version_of(state, version)
    if state.stable == version:
        return Decided(state=state, action="version.promote")
    if state.rollout is not None:
        raise life_conflict(
            state,
            f"A rollout of {state.name} is running: promote its candidate, or abort it first",
            version=version,
        )
    if stands.life is Life.RETIRED:
        raise life_conflict(
            state, f"{version} is retired: revive it first", version=version, life=stands.life
        )
    pass_gate(state, version, gate)
    return Decided(state=trusted(state, version, now), action="version.promote")


def trusted(state: ModelState, version: str, now: int) -> ModelState:
    """The model with one of its versions as the stable one, and nothing held against it."""
    stands = state.versions[version]
    since = stands.since if stands.life is Life.STABLE else now
    raised = VersionState(life=Life.STABLE, since=since, loaded=stands.loaded)
    return structs.replace(with_version(state, version, raised), stable=version)


def deprecate(
    state: ModelState, version: str, now: int, sunset_at: int = 0, info: str = ""
) -> Decided:
    """Announce the end of a stable version; of one that is deprecated, move its sunset.

    Args:
        state: Of the model.
        version: Stable in life, and not the stable one.
        now: Epoch second.
        sunset_at: Epoch second, later than now, after which it is retired; 0 for none.
        info: http or https URL where clients read what to do instead; empty for none.

    Raises:
        InvalidInput: If the sunset or the URL is out of range.
        TidegateError: ``MODEL_VERSION_NOT_FOUND`` or ``LIFE_CONFLICT``.
    """
    stands = version_of(state, version)
    faults = _notice_faults(now, sunset_at, info)
    if faults:
        raise InvalidInput(faults)
    if stands.life not in {Life.STABLE, Life.DEPRECATED}:
        raise _wrong_life(state, version, "deprecated", "stable versions")
    refuse_in_rollout(state, version, "deprecated")
    _refuse_stable(state, version, "deprecated")
    is_deprecated = stands.life is Life.DEPRECATED
    announced = structs.replace(
        stands,
        life=Life.DEPRECATED,
        since=stands.since if is_deprecated else now,
        deprecated_at=stands.deprecated_at if is_deprecated else now,
        sunset_at=sunset_at,
        info=info,
    )
    return Decided(state=with_version(state, version, announced), action="version.deprecate")


def retire(state: ModelState, version: str, now: int) -> Decided:
    """End an experimental or deprecated version: it answers no more, and Triton unloads it.

    Raises:
        TidegateError: ``MODEL_VERSION_NOT_FOUND`` or ``LIFE_CONFLICT``.
    """
    stands = version_of(state, version)
    if stands.life is not Life.RETIRED:
        if stands.life is Life.STABLE:
            raise _wrong_life(state, version, "retired", "experimental and deprecated versions")
        refuse_in_rollout(state, version, "retired")
        state = with_version(state, version, _retired(stands, now, note=stands.note))
    return Decided(state=state, action="version.retire")


def revive(state: ModelState, version: str, now: int) -> Decided:
    """Begin the life of a retired version anew, as experimental; what was held against it stays.

    Raises:
        TidegateError: ``MODEL_VERSION_NOT_FOUND``, or ``LIFE_CONFLICT`` if it is not retired.
    """
    stands = version_of(state, version)
    if stands.life is not Life.RETIRED:
        raise _wrong_life(state, version, "revived", "retired versions")
    revived = VersionState(life=Life.EXPERIMENTAL, since=now, rolled_back=stands.rolled_back)
    return Decided(state=with_version(state, version, revived), action="version.revive")


def sunsets_passed(state: ModelState, now: int) -> Decided:
    """Retire deprecated versions whose sunset has passed; those in a rollout when it is over."""
    for version, stands in state.versions.items():
        is_due = stands.life is Life.DEPRECATED and 0 < stands.sunset_at <= now
        if is_due and not takes_part(state, version):
            retired = _retired(stands, now, note="Its sunset has passed")
            state = with_version(state, version, retired)
    return Decided(state=state, action="version.retire")


def set_loaded(state: ModelState, version: str, *, loaded: bool) -> Decided:
    """Say whether Triton is to have a version.

    Raises:
        TidegateError: ``MODEL_VERSION_NOT_FOUND`` or ``LIFE_CONFLICT``.
    """
    stands = version_of(state, version)
    if loaded and stands.life is Life.RETIRED:
        raise life_conflict(
            state, f"{version} is retired: revive it first", version=version, life=stands.life
        )
    if not loaded:
        refuse_in_rollout(state, version, "unloaded")
        _refuse_stable(state, version, "unloaded")
    changed = structs.replace(stands, loaded=loaded)
    action = "version.load" if loaded else "version.unload"
    return Decided(state=with_version(state, version, changed), action=action)


def put_alias(state: ModelState, alias: str, version: str) -> Decided:
    """Let an alias stand for a version, 100 aliases a model at most.

    Raises:
        InvalidInput: If it cannot be an alias, or is one that follows by itself.
        TidegateError: ``MODEL_VERSION_NOT_FOUND`` or ``LIFE_CONFLICT``.
    """
    if alias in RESERVED:
        raise _no_alias("follows from the state of the model; choose another name", alias)
    try:
        msgspec.convert(alias, AliasName)
    except msgspec.ValidationError as error:
        issue = "has to be lower case letters, digits and hyphens, 63 at most, and unlike a version"
        raise _no_alias(issue, alias) from error
    if version_of(state, version).life is Life.RETIRED:
        raise life_conflict(
            state,
            f"{version} is retired: choose a version that answers, or revive it first",
            version=version,
        )
    if alias not in state.aliases and len(state.aliases) >= MAX_ALIASES:
        raise life_conflict(
            state, f"{state.name} has {MAX_ALIASES} aliases, the most that it may: delete one first"
        )
    aliased = structs.replace(state, aliases={**state.aliases, alias: version})
    return Decided(state=aliased, action="alias.put")


def delete_alias(state: ModelState, alias: str) -> Decided:
    """Take an alias away.

    Raises:
        TidegateError: ``NOT_FOUND`` if there is none of that name.
    """
    if alias not in state.aliases:
        raise not_found()
    aliases = {name: version for name, version in state.aliases.items() if name != alias}
    return Decided(state=structs.replace(state, aliases=aliases), action="alias.delete")


def _retired(stands: VersionState, now: int, note: str) -> VersionState:
    return structs.replace(stands, life=Life.RETIRED, since=now, loaded=False, note=note)


def _refuse_stable(state: ModelState, version: str, doing: str) -> None:
    if state.stable == version:
        raise life_conflict(
            state,
            f"{version} answers who names no version and cannot be {doing}: promote another first",
            version=version,
        )


def _wrong_life(state: ModelState, version: str, doing: str, which: str) -> TidegateError:
    life = state.versions[version].life
    return life_conflict(
        state,
        f"{version} is {life}, and only {which} can be {doing}",
        version=version,
        life=life,
    )


def _notice_faults(now: int, sunset_at: int, info: str) -> list[Fault]:
    faults = []
    if sunset_at and not now < sunset_at <= LATEST_SUNSET:
        issue = f"has to be an epoch second after {now} and before the year 10000"
        faults.append(Fault("sunset_at", issue, "/sunset_at", received=sunset_at))
    if info and not _INFO.fullmatch(info):
        issue = "has to be an http or https URL of at most 2,000 characters (RFC 3986)"
        faults.append(Fault("info", issue, "/info", received_length=len(info)))
    return faults


def _no_alias(issue: str, alias: str) -> InvalidInput:
    return InvalidInput([Fault("alias", issue, "/alias", received=alias[:64])])
