"""Which Triton models are wanted, and which may go."""

from __future__ import annotations

from pathlib import Path

from control_plane.contracts.repository import Reading
from control_plane.routing.state import ModelState, VersionState
from control_plane.types import Life
from control_plane.versions.shelf import shelved, turnover
from control_plane.versions.target import target
from tests.unit.versions.shelves import put, shelf

NONE: frozenset[str] = frozenset()


def states(**lives: VersionState) -> dict[str, ModelState]:
    versions = {name.replace("_", "."): stands for name, stands in lives.items()}
    return {"house": ModelState(name="house", stable="v1.0.0", versions=versions)}


def stands(life: Life = Life.STABLE, *, loaded: bool = True) -> VersionState:
    return VersionState(life=life, since=1, loaded=loaded)


def test_what_has_no_state_yet_is_wanted(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    found = target(shelf(tmp_path), {}, NONE)
    assert (found.wanted, found.may_go) == ({"a": frozenset({"1"})}, {"a"})


def test_what_is_retired_or_unloaded_is_not(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    put(tmp_path, "b", "v1.1.0")
    put(tmp_path, "c", "v1.2.0")
    known = states(v1_0_0=stands(), v1_1_0=stands(Life.RETIRED), v1_2_0=stands(loaded=False))
    found = target(shelf(tmp_path), known, NONE)
    assert (set(found.wanted), found.may_go) == ({"a"}, {"a", "b", "c"})


def test_a_model_stays_for_any_of_its_versions(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    (tmp_path / "a" / "config.pbtxt").unlink()
    put(tmp_path, "a", "v1.1.0", number="2")
    known = states(v1_0_0=stands(Life.RETIRED), v1_1_0=stands())
    assert target(shelf(tmp_path), known, NONE).wanted == {"a": frozenset({"2"})}


def test_steps_of_an_ensemble_are_wanted_with_it(tmp_path: Path) -> None:
    put(tmp_path, "whole", "v1.0.0", steps=("inner", "half"))
    put(tmp_path, "half", steps=("innermost",))
    put(tmp_path, "inner")
    put(tmp_path, "innermost")
    found = target(shelf(tmp_path), {}, NONE)
    assert set(found.wanted) == {"whole", "half", "inner", "innermost"}
    assert found.wanted["inner"] == NONE
    assert found.may_go == {"whole"}


def test_what_a_private_ensemble_is_made_of_never_goes(tmp_path: Path) -> None:
    put(tmp_path, "private", steps=("a",))
    put(tmp_path, "a", "v1.0.0")
    found = target(shelf(tmp_path), states(v1_0_0=stands(Life.RETIRED)), NONE)
    assert (found.wanted, found.may_go) == ({}, NONE)


def test_what_was_public_before_may_go(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    assert target(shelf(tmp_path), {}, frozenset({"former"})).may_go == {"a", "former"}


def test_what_came_and_went_between_two_readings(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    before = shelf(tmp_path)
    put(tmp_path, "b", "v1.1.0")
    (tmp_path / "a" / "1" / "contract.yaml").unlink()
    found = turnover(before, shelf(tmp_path))
    assert [str(ref) for ref in found.added] == ["house v1.1.0"]
    assert [str(ref) for ref in found.gone] == ["house v1.0.0"]


def test_a_repository_that_went_has_no_configurations(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    before = shelf(tmp_path)
    assert shelved(Reading([], []), tmp_path / "gone").configs == {}
    assert set(before.configs) == {"a"}


def test_contracts_are_found_by_name(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    found = shelf(tmp_path)
    assert found.contract("house", "v1.0.0") is not None
    for version in ("v1.0.1", "stable", "v1.0.0\n", ""):
        assert found.contract("house", version) is None
    assert list(found.of_model("house")) == ["v1.0.0"]
    assert found.of_model("garden") == {}
