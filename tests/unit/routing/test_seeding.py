"""Where versions begin that have not been seen before."""

from __future__ import annotations

from control_plane.routing.seeding import Seen, seen
from control_plane.routing.state import ModelState, VersionState
from control_plane.types import Life
from tests.unit.routing.states import NOW, house

STABLE, EXPERIMENTAL = Seen("stable"), Seen("experimental")


def lives(state: ModelState | None) -> dict[str, Life]:
    assert state is not None
    return {version: stands.life for version, stands in state.versions.items()}


def test_a_model_begins_as_its_contracts_say() -> None:
    found = {
        "v2.0.0": STABLE,
        "v10.0.0": EXPERIMENTAL,
        "v9.1.0": Seen("stable", ("it breaks something",)),
        "v1.0.0": EXPERIMENTAL,
    }
    state = seen("house", None, found, NOW)
    assert state is not None
    assert lives(state) == {
        "v1.0.0": Life.EXPERIMENTAL,
        "v2.0.0": Life.STABLE,
        "v9.1.0": Life.STABLE,
        "v10.0.0": Life.EXPERIMENTAL,
    }
    assert list(state.versions) == ["v1.0.0", "v2.0.0", "v9.1.0", "v10.0.0"]
    assert (state.name, state.stable) == ("house", "v9.1.0")
    assert {stands.since for stands in state.versions.values()} == {NOW}


def test_a_model_without_a_stable_version_trusts_none() -> None:
    state = seen("house", None, {"v1.0.0": EXPERIMENTAL}, NOW)
    assert state is not None
    assert state.stable is None


def test_a_later_version_never_becomes_the_stable_one_by_itself() -> None:
    state = seen("house", house(), {"v9.0.0": STABLE, "v1.1.0": EXPERIMENTAL}, NOW)
    assert state is not None
    assert state.stable == "v1.1.0"
    added = VersionState(life=Life.STABLE, since=NOW)
    assert state.versions == {**house().versions, "v9.0.0": added}


def test_a_later_version_that_breaks_begins_experimental_and_says_why() -> None:
    broken = Seen("stable", ("one", "two", "three", "four", "five"))
    state = seen("house", house(), {"v9.0.0": broken}, NOW)
    assert state is not None
    stands = state.versions["v9.0.0"]
    assert stands.life is Life.EXPERIMENTAL
    assert stands.note == (
        "Its contract says stable, and breaks that of v1.1.0: one; two; three; and 2 more"
    )


def test_what_is_known_stays_as_it_is() -> None:
    retired = VersionState(life=Life.RETIRED, since=1, loaded=False)
    state = house(**{"v9.0.0": retired})
    assert seen("house", state, {"v9.0.0": STABLE, "v1.0.0": EXPERIMENTAL}, NOW) is None


def test_versions_that_are_gone_keep_their_place() -> None:
    assert seen("house", house(), {}, NOW) is None


def test_where_there_is_nothing_nothing_begins() -> None:
    assert seen("house", None, {}, NOW) is None
