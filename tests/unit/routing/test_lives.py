"""Lives of versions: what each may become, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from control_plane.routing.decisions import lives
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.state import MAX_ALIASES, ModelState, VersionState
from control_plane.types import Life
from tests.unit.routing.states import NOW, READY, fields, house, on_plan, refusal

LATER = NOW + 86_400
DEPRECATED = VersionState(
    life=Life.DEPRECATED, since=5, deprecated_at=5, sunset_at=LATER, info="https://x.example/"
)
RETIRED = VersionState(life=Life.RETIRED, since=6, loaded=False, rolled_back="ro_x", note="why")
BREAK = Gate(ready=True, changes=({"where": "/inputs/text", "breaking": True},), calls_for="v2.0.0")


def promoted(state: ModelState, version: str, gate: Gate = READY) -> ModelState:
    decided = lives.promote(state, version, NOW, gate)
    assert decided.action == "version.promote"
    return decided.state


def test_a_promoted_version_is_the_stable_one_and_the_one_before_stays_stable_in_life() -> None:
    state = promoted(house(), "v2.0.0")
    assert state.stable == "v2.0.0"
    assert state.versions["v2.0.0"] == VersionState(life=Life.STABLE, since=NOW)
    assert state.versions["v1.1.0"] == house().versions["v1.1.0"]


def test_a_promoted_version_has_nothing_held_against_it() -> None:
    before = structs.replace(DEPRECATED, rolled_back="ro_x", note="bad")
    state = promoted(house(**{"v2.0.0": before}), "v2.0.0")
    assert state.versions["v2.0.0"] == VersionState(life=Life.STABLE, since=NOW)


def test_an_earlier_stable_version_is_promoted_again_with_its_age() -> None:
    state = promoted(house(), "v1.0.0")
    assert (state.stable, state.versions["v1.0.0"].since) == ("v1.0.0", 1)


def test_the_first_stable_version_of_a_model_is_promoted() -> None:
    state = structs.replace(house(), stable=None)
    assert promoted(state, "v2.0.0").stable == "v2.0.0"


def test_promoting_the_stable_version_changes_nothing() -> None:
    assert promoted(house(), "v1.1.0", Gate(ready=False)) == house()


def test_a_breaking_contract_is_explained_and_may_be_allowed() -> None:
    error = refusal("CONTRACT_BREAKING", lambda: lives.promote(house(), "v2.0.0", NOW, BREAK))
    assert error.details["changes"] == list(BREAK.changes)
    assert error.details["calls_for"] == "v2.0.0"
    allowed = structs.replace(BREAK, allow_breaking=True)
    assert promoted(house(), "v2.0.0", allowed).stable == "v2.0.0"


def test_what_is_not_ready_is_not_promoted() -> None:
    gate = Gate(ready=False, reasons=("triton-2: loading",), allow_breaking=True)
    error = refusal("VERSION_NOT_READY", lambda: lives.promote(house(), "v2.0.0", NOW, gate))
    assert error.details["reasons"] == ["triton-2: loading"]
    unloaded = lives.set_loaded(house(), "v2.0.0", loaded=False).state
    error = refusal("VERSION_NOT_READY", lambda: lives.promote(unloaded, "v2.0.0", NOW, READY))
    assert "load it first" in error.details["reasons"][0]


def test_a_stable_version_is_deprecated_with_a_notice() -> None:
    decided = lives.deprecate(house(), "v1.0.0", NOW, LATER, "https://x.example/v2?a=b#c")
    assert decided.action == "version.deprecate"
    assert decided.state.versions["v1.0.0"] == VersionState(
        life=Life.DEPRECATED, since=NOW, deprecated_at=NOW, sunset_at=LATER,
        info="https://x.example/v2?a=b#c",
    )  # fmt: skip


def test_a_sunset_is_moved_and_the_deprecation_is_as_old_as_it_was() -> None:
    state = lives.deprecate(house(**{"v1.0.0": DEPRECATED}), "v1.0.0", NOW, LATER + 9, "").state
    moved = structs.replace(DEPRECATED, sunset_at=LATER + 9, info="")
    assert state.versions["v1.0.0"] == moved


@pytest.mark.parametrize("sunset", [NOW, NOW - 1, -1, lives.LATEST_SUNSET + 1])
def test_a_sunset_lies_in_the_future(sunset: int) -> None:
    assert fields(lambda: lives.deprecate(house(), "v1.0.0", NOW, sunset)) == {"sunset_at"}


@pytest.mark.parametrize(
    "info",
    ["ftp://x/", "x.example", "https://", "https://x\r\nSet-Cookie: a", "https://x/\n",
     "https://x/>; rel=evil", "https://x/ y", 'https://x/"', "https://" + "x" * 2001,
     "javascript:alert(1)", "https://ü.example/"],
)  # fmt: skip
def test_only_urls_that_fit_a_header_are_info(info: str) -> None:
    assert fields(lambda: lives.deprecate(house(), "v1.0.0", NOW, 0, info)) == {"info"}


def test_a_version_is_retired_and_unloaded_and_revived_as_experimental() -> None:
    retired = lives.retire(house(), "v2.0.0", NOW)
    assert retired.action == "version.retire"
    gone = VersionState(life=Life.RETIRED, since=NOW, loaded=False)
    assert retired.state.versions["v2.0.0"] == gone
    assert lives.retire(retired.state, "v2.0.0", LATER).state == retired.state
    back = lives.revive(retired.state, "v2.0.0", LATER)
    assert back.action == "version.revive"
    assert back.state.versions["v2.0.0"] == VersionState(life=Life.EXPERIMENTAL, since=LATER)


def test_a_revived_version_is_still_one_that_was_rolled_back() -> None:
    state = lives.revive(house(**{"v2.0.0": RETIRED}), "v2.0.0", NOW).state
    assert state.versions["v2.0.0"].rolled_back == "ro_x"


def test_sunsets_that_have_passed_retire() -> None:
    state = house(**{"v0.1.0": DEPRECATED, "v0.2.0": structs.replace(DEPRECATED, sunset_at=0)})
    assert lives.sunsets_passed(state, LATER - 1).state == state
    decided = lives.sunsets_passed(state, LATER)
    assert decided.action == "version.retire"
    changed = {v: s for v, s in decided.state.versions.items() if s != state.versions[v]}
    assert changed.keys() == {"v0.1.0"}
    assert changed["v0.1.0"].life is Life.RETIRED
    assert not changed["v0.1.0"].loaded


def test_a_sunset_waits_for_the_end_of_a_rollout() -> None:
    running = on_plan(house(**{"v2.0.0": DEPRECATED}))
    assert lives.sunsets_passed(running, LATER).state == running
    over = structs.replace(running, rollout=None)
    assert lives.sunsets_passed(over, LATER).state.versions["v2.0.0"].life is Life.RETIRED


def test_versions_are_loaded_and_unloaded() -> None:
    off = lives.set_loaded(house(), "v2.0.0", loaded=False)
    assert (off.action, off.state.versions["v2.0.0"].loaded) == ("version.unload", False)
    on = lives.set_loaded(off.state, "v2.0.0", loaded=True)
    assert (on.action, on.state) == ("version.load", house())


def test_aliases_come_and_go() -> None:
    put = lives.put_alias(house(), "blue", "v2.0.0")
    assert (put.action, put.state.aliases) == ("alias.put", {"blue": "v2.0.0"})
    moved = lives.put_alias(put.state, "blue", "v1.0.0").state
    assert moved.aliases == {"blue": "v1.0.0"}
    gone = lives.delete_alias(moved, "blue")
    assert (gone.action, gone.state) == ("alias.delete", house())


@pytest.mark.parametrize(
    "alias", ["stable", "latest", "canary", "v2", "v2x", "V", "blue\n", "", "a" * 64, "ä", "1a"]
)
def test_names_that_mean_something_else_are_no_aliases(alias: str) -> None:
    assert fields(lambda: lives.put_alias(house(), alias, "v2.0.0")) == {"alias"}


def test_aliases_are_bounded() -> None:
    full = structs.replace(house(), aliases={f"a{n}": "v1.0.0" for n in range(MAX_ALIASES)})
    refusal("LIFE_CONFLICT", lambda: lives.put_alias(full, "more", "v2.0.0"))
    assert lives.put_alias(full, "a7", "v2.0.0").state.aliases["a7"] == "v2.0.0"


CONFLICTS: dict[str, Callable[[ModelState], Decided]] = {
    "a retired version is promoted": lambda s: lives.promote(s, "v9.0.0", NOW, READY),
    "an experimental version is deprecated": lambda s: lives.deprecate(s, "v2.0.0", NOW),
    "the stable version is deprecated": lambda s: lives.deprecate(s, "v1.1.0", NOW),
    "a stable version is retired": lambda s: lives.retire(s, "v1.0.0", NOW),
    "the stable version is retired": lambda s: lives.retire(s, "v1.1.0", NOW),
    "an experimental version is revived": lambda s: lives.revive(s, "v2.0.0", NOW),
    "the stable version is unloaded": lambda s: lives.set_loaded(s, "v1.1.0", loaded=False),
    "a retired version is loaded": lambda s: lives.set_loaded(s, "v9.0.0", loaded=True),
    "an alias is put on a retired version": lambda s: lives.put_alias(s, "blue", "v9.0.0"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_it_is_refused_that(case: str) -> None:
    state = house(**{"v9.0.0": RETIRED})
    error = refusal("LIFE_CONFLICT", lambda: CONFLICTS[case](state))
    assert error.details["stable"] == "v1.1.0"


WHILE_RUNNING: dict[str, Callable[[ModelState], Decided]] = {
    "another version is promoted": lambda s: lives.promote(s, "v3.0.0", NOW, READY),
    "the candidate is retired": lambda s: lives.retire(s, "v2.0.0", NOW),
    "the candidate is unloaded": lambda s: lives.set_loaded(s, "v2.0.0", loaded=False),
    "the stable version is unloaded": lambda s: lives.set_loaded(s, "v1.1.0", loaded=False),
    "the stable version is deprecated": lambda s: lives.deprecate(s, "v1.1.0", NOW),
}


@pytest.mark.parametrize("case", WHILE_RUNNING)
def test_while_a_rollout_runs_it_is_refused_that(case: str) -> None:
    error = refusal("LIFE_CONFLICT", lambda: WHILE_RUNNING[case](on_plan()))
    assert error.details["rollout"] == "ro_0123456789abcdef"


UNKNOWN: dict[str, Callable[[ModelState], Decided]] = {
    "promote": lambda s: lives.promote(s, "v7.0.0", NOW, READY),
    "deprecate": lambda s: lives.deprecate(s, "v7.0.0", NOW),
    "retire": lambda s: lives.retire(s, "v7.0.0", NOW),
    "revive": lambda s: lives.revive(s, "v7.0.0", NOW),
    "load": lambda s: lives.set_loaded(s, "v7.0.0", loaded=True),
    "alias": lambda s: lives.put_alias(s, "blue", "v7.0.0"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_of_an_unknown_version_there_is_no(case: str) -> None:
    error = refusal("MODEL_VERSION_NOT_FOUND", lambda: UNKNOWN[case](house()))
    assert error.details["versions"] == list(house().versions)


def test_an_alias_that_is_not_there_cannot_go() -> None:
    refusal("NOT_FOUND", lambda: lives.delete_alias(house(), "blue"))
