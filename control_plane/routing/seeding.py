"""Where versions begin that the system of record has not seen: by their contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, structs

from control_plane.routing.state import ModelState, VersionState
from control_plane.types import Life, Version

_SHOWN: Final = 3
"""Breaks that a note tells; ``tidegate models diff`` shows all."""


class Seen(Struct, frozen=True):
    """What the files say of a version.

    Attributes:
        status: How far its contract trusts it.
        breaks: By which its contract breaks that of the stable version, a sentence each.
    """

    status: Literal["experimental", "stable"]
    breaks: tuple[str, ...] = ()


def seen(
    name: str, state: ModelState | None, found: Mapping[str, Seen], now: int
) -> ModelState | None:
    """The state with the versions that it does not have yet; None if it has all.

    The versions of a model that is seen for the first time begin as their contracts say, and the
    highest stable one becomes the stable version. Later versions never do by themselves, and begin
    experimental if they break the stable version's contract.

    Args:
        name: Of the model.
        state: As it is; None if there is none.
        found: The versions in the repository, by name.
        now: Epoch second.
    """
    known = {} if state is None else state.versions
    unseen = {version: facts for version, facts in found.items() if version not in known}
    if not unseen:
        return None
    if state is None:
        return _first(name, unseen, now)
    begun = {version: _later(facts, state.stable, now) for version, facts in unseen.items()}
    return structs.replace(state, versions=_ordered({**known, **begun}))


def _first(name: str, found: Mapping[str, Seen], now: int) -> ModelState:
    versions = _ordered(
        {
            version: VersionState(life=Life(facts.status), since=now)
            for version, facts in found.items()
        }
    )
    stable = [version for version, stands in versions.items() if stands.life is Life.STABLE]
    return ModelState(name=name, stable=stable[-1] if stable else None, versions=versions)


def _later(facts: Seen, stable: str | None, now: int) -> VersionState:
    if facts.status != "stable" or not facts.breaks:
        return VersionState(life=Life(facts.status), since=now)
    breaks = "; ".join(facts.breaks[:_SHOWN])
    more = len(facts.breaks) - _SHOWN
    note = f"Its contract says stable, and breaks that of {stable}: {breaks}"
    return VersionState(
        life=Life.EXPERIMENTAL, since=now, note=note + (f"; and {more} more" if more > 0 else "")
    )


def _ordered(versions: Mapping[str, VersionState]) -> dict[str, VersionState]:
    return {version: versions[version] for version in sorted(versions, key=Version.parse)}
