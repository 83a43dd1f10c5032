"""Which version answers: exact, prefix, alias or default, and what is said when none does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import TidegateError
from control_plane.routing.catalog import Catalog, known, unknown
from control_plane.routing.selection import MAX_CACHED, Router, selectors
from control_plane.routing.state import Candidate, ModelState, Rollout, VersionState
from control_plane.types import Life, Version

LIVES = {
    "s": Life.STABLE,
    "e": Life.EXPERIMENTAL,
    "d": Life.DEPRECATED,
    "r": Life.RETIRED,
}
HOUSE = "v1.0.0 r, v1.1.0 d, v2.0.0 s, v2.3.0 s, v2.3.1 e, v2.10.0 e, v3.0.0 e"


def router(versions: str, *, default: str | None = None, **others: str) -> Router:
    """A router of the model ``house`` and others; ``v1.0.0 s`` is a stable version."""
    models = []
    for name, listed in {"house": versions, **others}.items():
        pairs = [text.split() for text in listed.split(", ")]
        lives = {version: VersionState(life=LIVES[life], since=1) for version, life in pairs}
        found = [Version.parse(version) for version in lives]
        models.append(known(ModelState(name=name, versions=lives), found[::-1]))
    return Router(Catalog(reversed(models), default))


def refused(asked: Router, model: str | None, selector: str | None) -> TidegateError:
    with pytest.raises(TidegateError) as caught:
        asked.resolve(model, selector)
    return caught.value


@pytest.mark.parametrize(
    ("selector", "version"),
    [
        (None, "v2.3.0"),
        ("stable", "v2.3.0"),
        ("latest", "v3.0.0"),
        ("v1.1.0", "v1.1.0"),
        ("v2.3.1", "v2.3.1"),
        ("v2", "v2.3.0"),
        ("v2.3", "v2.3.0"),
        ("v2.10", "v2.10.0"),
        ("v3", "v3.0.0"),
        ("v1", "v1.1.0"),
    ],
)
def test_a_selector_finds_its_version(selector: str | None, version: str) -> None:
    assert str(router(HOUSE).resolve("house", selector).ref.version) == version


@pytest.mark.parametrize(
    ("selector", "explicit"),
    [(None, False), ("stable", False), ("latest", True), ("v2", True), ("v2.3.0", True)],
)
def test_only_who_names_none_or_stable_may_take_part_in_a_rollout(
    selector: str | None, *, explicit: bool
) -> None:
    assert router(HOUSE).resolve("house", selector).explicit is explicit


@pytest.mark.parametrize("selector", ["v4", "v2.4", "v2.3.2", "canary", "v0", "v1.1.00000001"])
def test_a_version_that_does_not_exist_is_not_found_and_those_that_do_are_named(
    selector: str,
) -> None:
    error = refused(router(HOUSE), "house", selector)
    assert (error.code, error.status) == ("MODEL_VERSION_NOT_FOUND", 404)
    assert error.details["versions"] == [
        "v1.1.0", "v2.0.0", "v2.3.0", "v2.3.1", "v2.10.0", "v3.0.0"
    ]  # fmt: skip
    assert error.details["aliases"] == ["latest", "stable"]


def test_a_retired_version_is_gone_and_those_that_answer_are_named() -> None:
    error = refused(router("v1.0.0 r, v2.0.0 s"), "house", "v1.0.0")
    assert (error.code, error.status) == ("MODEL_VERSION_RETIRED", 410)
    assert error.details["versions"] == ["v2.0.0"]


def test_a_prefix_of_retired_versions_only_is_gone() -> None:
    assert refused(router(HOUSE), "house", "v1.0").code == "MODEL_VERSION_RETIRED"


@pytest.mark.parametrize("selector", [None, "latest"])
def test_a_retired_version_is_nobodys_default_and_not_the_latest(selector: str | None) -> None:
    asked = router("v1.0.0 d, v2.0.0 r")
    assert str(asked.resolve("house", selector).ref.version) == "v1.0.0"


def test_without_a_stable_version_the_latest_answers_and_there_is_no_such_alias() -> None:
    asked = router("v1.0.0 e, v1.2.0 e")
    assert str(asked.resolve("house", None).ref.version) == "v1.2.0"
    assert refused(asked, "house", "stable").code == "MODEL_VERSION_NOT_FOUND"


def test_a_deprecated_version_still_answers() -> None:
    assert str(router(HOUSE).resolve("house", "v1.1.0").ref.version) == "v1.1.0"


def test_versions_are_ordered_by_number_and_not_by_letter() -> None:
    asked = router("v1.9.0 s, v1.10.0 s, v1.2.0 s")
    assert str(asked.resolve("house", "v1").ref.version) == "v1.10.0"


def test_an_unknown_model_is_not_found_and_those_that_exist_are_named() -> None:
    error = refused(router(HOUSE, wine="v1.0.0 s"), "horse", None)
    assert (error.code, error.status) == ("MODEL_NOT_FOUND", 404)
    assert error.details["models"] == ["house", "wine"]


def test_the_only_model_is_the_default_one() -> None:
    assert router(HOUSE).resolve(None, None).ref.name == "house"


def test_with_several_models_one_has_to_be_named() -> None:
    error = refused(router(HOUSE, wine="v1.0.0 s"), None, None)
    assert (error.code, error.status) == ("MODEL_REQUIRED", 400)


def test_the_default_model_answers_who_names_none() -> None:
    asked = router(HOUSE, default="wine", wine="v1.0.0 s")
    assert asked.resolve(None, None).ref.name == "wine"
    assert asked.resolve("house", None).ref.name == "house"


def test_a_default_model_that_does_not_exist_answers_nobody() -> None:
    assert refused(router(HOUSE, default="wine"), None, None).code == "MODEL_NOT_FOUND"


def test_an_empty_catalogue_has_no_models() -> None:
    assert refused(Router(Catalog([], None)), None, None).code == "MODEL_REQUIRED"


def test_every_selector_that_is_listed_means_what_it_resolves_to() -> None:
    asked = router("v1.0.0 r, v1.1.0 d, v2.0.0 s, v2.1.0 e")
    listed = selectors(asked.model("house"))
    assert {name: str(version) for name, version in listed.items()} == {
        "v1": "v1.1.0", "v1.1": "v1.1.0", "v1.1.0": "v1.1.0", "v2": "v2.0.0", "v2.0": "v2.0.0",
        "v2.0.0": "v2.0.0", "v2.1": "v2.1.0", "v2.1.0": "v2.1.0", "stable": "v2.0.0",
        "latest": "v2.1.0",
    }  # fmt: skip
    for name, version in listed.items():
        assert asked.resolve("house", name).ref.version == version


HOSTILE = [
    "", " ", "v", "v1.", ".1", "v1.0.0.0", "v1.0.0 ", " v1.0.0", "v1.0.0\n", "V1.0.0", "v-1",
    "v1e3", "v\uff11", "v\u0662.0.0", "v2..0", "v" + "9" * 50, "a" * 5000,
    "../../etc/passwd", "*", "%", "stable\0", "__class__", "v1.0.0-rc1", "é",
]  # fmt: skip


@pytest.mark.parametrize("selector", HOSTILE)
def test_a_hostile_selector_is_not_found_and_not_repeated(selector: str) -> None:
    error = refused(router(HOUSE), "house", selector)
    assert error.code == "MODEL_VERSION_NOT_FOUND"
    assert len(error.message) < 120
    assert error.message.isascii()
    assert error.message.isprintable()


@pytest.mark.parametrize("name", ["House", "house ", "house\n", "../house", "a" * 5000, "hóuse"])
def test_a_hostile_model_name_is_not_found_and_not_repeated(name: str) -> None:
    error = refused(router(HOUSE), name, None)
    assert error.code == "MODEL_NOT_FOUND"
    assert name not in error.message


@given(st.text(max_size=12) | st.from_regex(r"v\d{1,3}(\.\d{1,3}){0,3}", fullmatch=True))
def test_any_selector_is_a_version_of_the_model_or_an_error(selector: str) -> None:
    try:
        route = router(HOUSE).resolve("house", selector)
    except TidegateError as error:
        status = error.status
    else:
        status = 200
        text = str(route.ref.version)
        assert selector in {"stable", "latest"} or re.match(rf"{re.escape(selector)}(\.|$)", text)
    assert status in {200, 404, 410}


def test_what_hostile_callers_ask_for_does_not_pile_up() -> None:
    asked = router(HOUSE)
    for number in range(3 * MAX_CACHED):
        with pytest.raises(TidegateError):
            asked.resolve("house", f"v9.{number}")
    assert len(asked._cache) <= MAX_CACHED


def test_what_is_remembered_is_bounded_and_right_beyond_the_bound() -> None:
    versions = [f"v1.0.{number}" for number in range(MAX_CACHED + 50)]
    asked = router(", ".join(f"{version} s" for version in versions))
    for _ in range(2):
        for version in versions:
            assert str(asked.resolve("house", version).ref.version) == version
    assert len(asked._cache) <= MAX_CACHED


@pytest.mark.parametrize("selector", ["v02", "v2.03", "v2.3.01"])
def test_a_number_with_a_leading_zero_is_no_version(selector: str) -> None:
    assert refused(router(HOUSE), "house", selector).code == "MODEL_VERSION_NOT_FOUND"


@pytest.mark.parametrize("text", ["v1.0.0", "v0.0.0", "v999999.0.1"])
def test_a_version_is_written_as_it_was_read(text: str) -> None:
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize("text", ["1.0.0", "v1.0", "v01.0.0", "v1.0.0\n", "v1.0.0-rc",
                                  "v\uff11.0.0", "v1234567.0.0", ""])  # fmt: skip
def test_what_is_no_semantic_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected vMAJOR"):
        Version.parse(text)


def of_state(state: ModelState, *versions: str) -> Router:
    return Router(Catalog([known(state, [Version.parse(text) for text in versions])], None))


def standing(**lives: str) -> dict[str, VersionState]:
    return {
        name.replace("_", "."): VersionState(life=LIVES[life], since=1)
        for name, life in lives.items()
    }


def test_without_the_stable_version_no_experimental_one_takes_its_place() -> None:
    state = ModelState(name="house", stable="v1.0.0", versions=standing(v1_0_0="s", v2_0_0="e"))
    asked = of_state(state, "v2.0.0")
    for selector in (None, "stable"):
        assert refused(asked, None, selector).code == "MODEL_UNAVAILABLE"
    assert str(asked.resolve(None, "v2").ref.version) == "v2.0.0"


def test_without_the_stable_version_another_stable_one_answers() -> None:
    lives = standing(v1_0_0="s", v1_1_0="s", v2_0_0="e")
    state = ModelState(name="house", stable="v1.1.0", versions=lives)
    assert str(of_state(state, "v1.0.0", "v2.0.0").resolve(None, None).ref.version) == "v1.0.0"


def test_the_pointer_decides_and_not_the_number() -> None:
    lives = standing(v1_0_0="s", v2_0_0="s")
    state = ModelState(name="house", stable="v1.0.0", versions=lives)
    assert str(of_state(state, "v1.0.0", "v2.0.0").resolve(None, None).ref.version) == "v1.0.0"


@pytest.mark.parametrize("public", [True, False])
def test_the_candidate_is_named_only_of_a_public_rollout(*, public: bool) -> None:
    candidate = Candidate(version="v2.0.0", weight=10)
    rollout = Rollout(id="ro_x", stable="v1.0.0", candidates=(candidate,), public=public)
    lives = standing(v1_0_0="s", v2_0_0="e")
    state = ModelState(name="house", stable="v1.0.0", versions=lives, rollout=rollout)
    asked = of_state(state, "v1.0.0", "v2.0.0")
    assert str(asked.resolve(None, "canary").ref.version) == "v2.0.0"
    assert ("canary" in selectors(asked.model("house"))) is public
    assert ("canary" in refused(asked, None, "v9").details["aliases"]) is public


def test_a_deprecated_version_is_gone_at_its_sunset() -> None:
    now = [1000.0]
    ended = VersionState(life=Life.DEPRECATED, since=1, deprecated_at=1, sunset_at=2000)
    lives = {"v1.0.0": ended, **standing(v2_0_0="s")}
    state = ModelState(name="house", stable="v2.0.0", versions=lives)
    model = known(state, [Version.parse("v1.0.0"), Version.parse("v2.0.0")])
    asked = Router(Catalog([model], None), clock=lambda: now[0])
    notice = asked.resolve(None, "v1").notice
    assert notice is not None
    assert (notice.sunset_at, str(notice.successor)) == (2000, "v2.0.0")
    now[0] = 2000.0
    assert refused(asked, None, "v1").code == "MODEL_VERSION_RETIRED"


def test_a_model_whose_state_is_not_known_answers_nobody() -> None:
    asked = Router(Catalog([unknown("house", [Version.parse("v1.0.0")])], None))
    assert refused(asked, None, None).code == "MODEL_UNAVAILABLE"
