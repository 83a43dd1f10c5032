"""What one server needs to come closer to what is wanted."""

from __future__ import annotations

from control_plane.inference.backend import LoadState, ModelState
from control_plane.inference.target import Target, missing, steps
from control_plane.types import Backing

ANY: frozenset[str] = frozenset()


def has(model: str, state: LoadState = "ready", version: str = "1", reason: str = "") -> ModelState:
    return ModelState(Backing(model, version), state, reason)


def load_of(target: Target, *index: ModelState, asked: frozenset[str] = ANY) -> list[str]:
    return steps(index, target, asked).load


def unload_of(target: Target, *index: ModelState) -> list[str]:
    return steps(index, target, ANY).unload


def test_what_is_not_ready_is_loaded() -> None:
    target = Target({"a": ANY, "b": ANY, "c": ANY, "d": ANY})
    index = [has("a"), has("b", "unavailable"), has("c", "unloading")]
    assert load_of(target, *index) == ["b", "c", "d"]


def test_what_is_loading_is_left_alone() -> None:
    target = Target({"a": frozenset({"1", "2"})}, frozenset({"b"}))
    index = [has("a"), has("a", "loading", "2"), has("b"), has("b", "loading", "2")]
    done = steps(index, target, frozenset({"a"}))
    assert (done.load, done.unload) == ([], [])


def test_a_wanted_version_has_to_be_ready_and_another_does_not() -> None:
    index = [has("a"), has("a", "unavailable", "2")]
    assert load_of(Target({"a": frozenset({"1", "2"})}), *index) == ["a"]
    assert load_of(Target({"a": frozenset({"1"})}), *index) == []
    assert load_of(Target({"a": ANY}), *index) == []


def test_what_was_asked_for_is_loaded_although_it_is_ready_but_only_if_wanted() -> None:
    asked = frozenset({"a", "b"})
    assert load_of(Target({"a": ANY}), has("a"), has("b"), asked=asked) == ["a"]


def test_only_what_may_go_and_is_not_wanted_goes() -> None:
    target = Target({"a": ANY}, frozenset({"a", "b", "d"}))
    assert unload_of(target, has("a"), has("b"), has("c"), has("d", "unavailable")) == ["b"]


def test_the_reason_is_the_servers_own_where_it_has_one() -> None:
    index = [has("a"), has("a", "unavailable", "2", "bad weights")]
    assert missing(index, "a", frozenset({"1"})) == ""
    assert missing(index, "a", ANY) == ""
    assert missing(index, "a", frozenset({"2"})) == "version 2 is not ready: bad weights"
    assert "version 3" in missing(index, "a", frozenset({"1", "3"}))
    assert "version_policy" in missing(index, "a", frozenset({"3"}))
    assert missing(index, "b", ANY).startswith("no version is ready")


def test_of_several_that_are_missing_the_lowest_number_is_told() -> None:
    assert "version 2 " in missing([], "a", frozenset({"10", "2"}))
