"""Settings: from the environment, refused all at once when they are out of range."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.environment import InvalidSettings, describe, load_settings
from control_plane.settings import Settings

SECRETS = {
    "TIDEGATE_KEY_PEPPER": "a pepper for tests, 32 characters",
    "TIDEGATE_DATA_KEY": "A" * 43,
    "TIDEGATE_BOOTSTRAP_ADMIN_KEY": f"tg_live_{'a' * 12}_{'0' * 33}",
}
SOUND = {
    "TIDEGATE_TRITON_URLS": "triton:8001",
    "TIDEGATE_REDIS_URL": "redis://valkey:6379/0",
    **SECRETS,
}
GROUPS = ("jobs", "uploads", "webhooks", "egress")
RANGES = {
    "MAX_BODY_BYTES": (1024, 1_073_741_824),
    "MAX_WAITING": (1, 1_000_000),
    "CALLS_IN_FLIGHT": (1, 256),
    "HEALTH_INTERVAL_S": (0.05, 60),
    "HEALTH_TIMEOUT_S": (0.05, 60),
    "DRAIN_S": (0, 3600),
    "DRAIN_DELAY_S": (0, 300),
    "KEEP_ALIVE_S": (1, 3600),
    "SHADOW_DUTY": (0.01, 1),
    "FEEDBACK_PER_SECOND": (0, 1000),
    "FEEDBACK_KEPT_S": (60, 2_592_000),
    "FEEDBACK_PER_DAY": (1, 1_000_000),
    "JOBS_LEASE_S": (1, 600),
    "JOBS_ATTEMPTS": (1, 20),
    "JOBS_KEPT_S": (60, 7_776_000),
    "JOBS_PENDING_PER_TENANT": (1, 10_000_000),
    "JOBS_INLINE_RESULT_BYTES": (1024, 16_777_216),
    "JOBS_SHORT_SLOTS": (1, 4096),
    "JOBS_LONG_SLOTS": (1, 256),
    "JOBS_GRACE_S": (0, 3600),
    "JOBS_STREAMS_PER_TENANT": (1, 10_000),
    "UPLOADS_MAX_BYTES": (1024, 1_099_511_627_776),
    "UPLOADS_LINK_S": (10, 86_400),
    "UPLOADS_UNUSED_S": (60, 2_592_000),
    "UPLOADS_OPEN_PER_TENANT": (1, 1_000_000),
    "WEBHOOKS_TIMEOUT_S": (0.5, 60),
    "WEBHOOKS_IN_FLIGHT": (1, 1024),
    "WEBHOOKS_IN_FLIGHT_PER_TENANT": (1, 1024),
    "WEBHOOKS_ENDPOINTS_PER_TENANT": (1, 1000),
    "WEBHOOKS_KEPT_S": (3600, 7_776_000),
}


def problems(**changes: str) -> list[str]:
    environment = SOUND | {f"TIDEGATE_{name}": value for name, value in changes.items()}
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environment)
    return caught.value.problems


def loaded(**changes: str) -> Settings:
    return load_settings(SOUND | {f"TIDEGATE_{name}": value for name, value in changes.items()})


def value_of(settings: Settings, name: str) -> object:
    group, _, inner = name.partition("_")
    if group in GROUPS:
        return getattr(getattr(settings, group), inner)
    return getattr(settings, name)


def test_the_defaults_are_as_documented() -> None:
    settings = load_settings(SOUND)
    assert settings.max_body_bytes == 1_048_576
    assert settings.access_log is True


def test_every_range_has_a_test() -> None:
    bounded = {row["variable"].removeprefix("TIDEGATE_") for row in describe()
               if " to " in row["range"]}  # fmt: skip
    assert bounded == RANGES.keys()


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_taken(name: str) -> None:
    for value in RANGES[name]:
        assert value_of(loaded(**{name: str(value)}), name.lower()) == value


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("text", ["below", "above", "nan", "inf", "-inf", "x", "1,5", "0x10"])
def test_what_is_out_of_range_or_no_number_is_refused(name: str, text: str) -> None:
    low, high = RANGES[name]
    value = {"below": str(low - 0.01 if low == 0.05 else low - 1), "above": str(high + 1)}
    (problem,) = problems(**{name: value.get(text, text)})
    assert problem.startswith(f"TIDEGATE_{name}: ")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("a:1", ("a:1",)),
        (" a:1 , b:2 ,", ("a:1", "b:2")),
        ("10.0.0.7:8001,[::1]:8001", ("10.0.0.7:8001", "[::1]:8001")),
    ],
)
def test_several_tritons_are_separated_by_commas(text: str, urls: tuple[str, ...]) -> None:
    assert loaded(TRITON_URLS=text).triton_urls == urls


@pytest.mark.parametrize("text", [",", "triton", "triton:", ":1", "http://triton:8001", "a b:1",
                                  "a:port", "a:999999", "a:1,b", "a:0", "a:65536"])  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    (problem,) = problems(TRITON_URLS=text)
    assert problem.startswith("TIDEGATE_TRITON_URLS: ")


@pytest.mark.parametrize("name", ["REDIS_URL", "LIMITS_REDIS_URL"])
def test_an_address_of_no_redis_is_refused_and_its_password_not_repeated(name: str) -> None:
    (problem,) = problems(**{name: "http://user:secret@valkey"})
    assert problem.startswith(f"TIDEGATE_{name}: ")
    assert "secret" not in problem


@pytest.mark.parametrize("name", ["House", "a b", "-a", "a" * 64])
def test_what_can_be_no_model_is_no_default_model(name: str) -> None:
    (problem,) = problems(DEFAULT_MODEL=name)
    assert problem.startswith("TIDEGATE_DEFAULT_MODEL: ")


@pytest.mark.parametrize("name", ["null", "none"])
def test_a_model_of_an_odd_name_may_be_the_default(name: str) -> None:
    assert loaded(DEFAULT_MODEL=name).default_model == name


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("1", True),
                                             ("0", False), (" true ", True)])  # fmt: skip
def test_a_switch_is_true_or_false(text: str, *, value: bool) -> None:
    assert loaded(ACCESS_LOG=text).access_log is value


def test_a_misspelt_variable_is_refused_with_a_suggestion() -> None:
    (problem,) = problems(MAX_WAITNG="5")
    assert problem == "TIDEGATE_MAX_WAITNG is no setting: did you mean TIDEGATE_MAX_WAITING?"


def test_a_variable_that_resembles_nothing_is_refused() -> None:
    assert problems(ZZZZ="5") == ["TIDEGATE_ZZZZ is no setting"]


def test_a_variable_in_other_letters_is_refused() -> None:
    assert "did you mean TIDEGATE_MAX_WAITING?" in problems(max_waiting="5")[0]


@pytest.mark.parametrize("missing", SOUND)
@pytest.mark.parametrize("empty", [True, False])
def test_what_is_required_is_missed_with_its_meaning(missing: str, *, empty: bool) -> None:
    environment = {name: value for name, value in SOUND.items() if name != missing}
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environment | ({missing: "  "} if empty else {}))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{missing} is missing: ")
    assert len(problem) > len(missing) + 30


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(
            {"TIDEGATE_TRITON_URLS": "x", "TIDEGATE_MAX_WAITING": "0", "TIDEGATE_ZZZZ": "1"}
        )
    named = {problem.split(" ")[0].rstrip(":") for problem in caught.value.problems}
    assert named == {
        "TIDEGATE_TRITON_URLS", "TIDEGATE_MAX_WAITING", "TIDEGATE_ZZZZ", "TIDEGATE_REDIS_URL",
        *SECRETS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KEY_PEPPER", "pepper-of-31-characters-is-weak"),
        ("DATA_KEY", "secret" * 7),
        ("DATA_KEY", "secret+" + "A" * 36),
        ("BOOTSTRAP_ADMIN_KEY", "secret"),
        ("BOOTSTRAP_ADMIN_KEY", f"tg_live_{'a' * 12}_secret"),
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(name: str, text: str) -> None:
    (problem,) = problems(**{name: text})
    assert problem.startswith(f"TIDEGATE_{name}: ")
    assert text not in problem


def providers(*changes: dict[str, object]) -> str:
    """The JSON list of some providers, each a sound one with changes."""
    sound = {"issuer": "https://id.example", "audience": "api"}
    return json.dumps([sound | change for change in changes])


def test_providers_are_a_json_list() -> None:
    (issuer,) = loaded(OIDC_ISSUERS=providers({})).oidc_issuers
    assert (issuer.issuer, issuer.algorithms) == ("https://id.example", ("RS256",))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[{}]",
        providers({"misspelt": 1}),
        providers({"algorithms": []}),
        providers({"algorithms": ["none"]}),
        providers({"algorithms": ["HS256"]}),
        providers({"issuer": "file:///etc/passwd"}),
        providers(*[{}] * 17),
    ],
)
def test_a_provider_that_is_none_is_refused(text: str) -> None:
    (problem,) = problems(OIDC_ISSUERS=text)
    assert problem.startswith("TIDEGATE_OIDC_ISSUERS: ")


def test_proxies_are_networks_separated_by_commas() -> None:
    assert loaded(TRUSTED_PROXIES="10.0.0.0/8, ::1").trusted_proxies == ("10.0.0.0/8", "::1")
    (problem,) = problems(TRUSTED_PROXIES="proxy.example")
    assert problem.startswith("TIDEGATE_TRUSTED_PROXIES: ")


def test_rules_against_abuse_are_json_within_their_ranges() -> None:
    assert loaded(ABUSE_RULES='{"on": false}').abuse_rules.on is False
    for text in ('{"on": 1}', '{"soft_s": 1}', '{"of": false}', "off"):
        (problem,) = problems(ABUSE_RULES=text)
        assert problem.startswith("TIDEGATE_ABUSE_RULES: ")


def test_what_commands_read_of_the_operators_api_is_no_fault() -> None:
    named = {"TIDEGATE_ADMIN_URL": "http://x", "TIDEGATE_ADMIN_KEY": "secret"}
    assert load_settings(SOUND | named) == load_settings(SOUND)


def test_other_variables_are_none_of_our_business() -> None:
    assert load_settings(SOUND | {"PATH": "/bin", "TIDE": "1", "tidegate_max_waiting": "0"})


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert loaded(MAX_WAITING="").max_waiting == 1024


def test_every_setting_is_described() -> None:
    rows = describe()
    own, groups = set(Settings.__struct_fields__), set()
    for group in GROUPS:
        own.remove(group)
        inner = getattr(load_settings(SOUND), group).__struct_fields__
        groups |= {f"{group}_{name}" for name in inner}
    names = {f"TIDEGATE_{name.upper()}" for name in own | groups}
    assert {row["variable"] for row in rows} == names
    assert all(row["meaning"].endswith(".") and row["range"] for row in rows)


@given(st.dictionaries(
    st.sampled_from([row["variable"] for row in describe()]) | st.text(max_size=5).map(
        lambda text: f"TIDEGATE_{text}"), st.text(max_size=20)))  # fmt: skip
def test_any_environment_makes_settings_or_problems(environment: dict[str, str]) -> None:
    with suppress(InvalidSettings):
        assert load_settings(SOUND | environment).triton_urls
