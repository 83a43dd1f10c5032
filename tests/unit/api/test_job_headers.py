"""Prefer, Cancel-After and Idempotency-Key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.job_events import read_last_id
from control_plane.api.preferences import (
    MAX_CANCEL_S,
    Preferences,
    read_cancel_after_ms,
    read_key,
    read_preferences,
)
from control_plane.errors import InvalidParameter


@pytest.mark.parametrize(
    ("value", "respond_async", "wait_s"),
    [
        (b"respond-async", True, None),
        (b"Respond-Async", True, None),
        (b"respond-async, wait=10", True, 10),
        (b"wait=0", False, 0),
        (b"wait=60", False, 60),
        (b"wait=61", False, 60),
        (b"wait=999999999", False, 60),
        (b' wait = "5" ; q=1 , respond-async;foo=bar', True, 5),
        (b"wait=3, wait=9", False, 3),
        (b"handling=lenient, respond-async, return=minimal", True, None),
        (b"wait=soon", False, None),
        (b"wait=-1", False, None),
        (b"wait=1.5", False, None),
        (b"wait", False, None),
        (b"", False, None),
        (b",,,", False, None),
        (b"\xff\x00", False, None),
        (b"respond-async2", False, None),
    ],
)
def test_known_preferences_are_read_and_all_others_ignored(
    value: bytes,
    respond_async: bool,  # noqa: FBT001 - a case
    wait_s: int | None,
) -> None:
    assert read_preferences({b"prefer": value}) == Preferences(respond_async, wait_s)


@given(st.binary(max_size=200))
def test_no_preference_is_an_error(value: bytes) -> None:
    found = read_preferences({b"prefer": value})
    assert found.wait_s is None or 0 <= found.wait_s <= 60


@pytest.mark.parametrize(
    ("preferences", "respond_async", "applied"),
    [
        (Preferences(respond_async=True, wait_s=5), True, "respond-async, wait=5"),
        (Preferences(respond_async=True), True, "respond-async"),
        (Preferences(respond_async=True, wait_s=5), False, "wait=5"),
        (Preferences(wait_s=0), True, "wait=0"),
        (Preferences(), True, ""),
    ],
)
def test_the_answer_says_what_was_applied(
    preferences: Preferences,
    respond_async: bool,  # noqa: FBT001 - a case
    applied: str,
) -> None:
    assert preferences.applied(respond_async=respond_async) == applied


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [(b"1", 1000), (b"90s", 90_000), (b"15m", 900_000), (b"2h", 7_200_000), (b"168h", 604_800_000),
     (b"604800", 604_800_000)],
)  # fmt: skip
def test_a_time_to_cancel_after_is_read(value: bytes, milliseconds: int) -> None:
    assert read_cancel_after_ms({b"cancel-after": value}) == milliseconds
    assert read_cancel_after_ms({}) == 0


@pytest.mark.parametrize(
    "value",
    [b"0", b"0s", b"", b"-1", b"1.5", b"604801", b"169h", b"7d", b"1 s", b"S", b"99999999", b"1s\n",
     "\u0661s".encode()],
)  # fmt: skip
def test_any_other_time_to_cancel_after_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_cancel_after_ms({b"cancel-after": value})
    assert caught.value.details["parameter"] == "Cancel-After"


@given(st.integers(1, MAX_CANCEL_S))
def test_seconds_are_seconds(seconds: int) -> None:
    assert read_cancel_after_ms({b"cancel-after": b"%d" % seconds}) == seconds * 1000


@pytest.mark.parametrize("value", [b"k", b"!" * 255, b'"8e03978e"'])
def test_a_key_is_taken_as_it_is(value: bytes) -> None:
    assert read_key({b"idempotency-key": value}) == value.decode()
    assert read_key({}) is None


@pytest.mark.parametrize("value", [b"", b"a" * 256, b"a b", b"\xe4", b"a\n", b"\x7f"])
def test_any_other_key_is_refused_and_not_repeated(value: bytes) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_key({b"idempotency-key": value})
    assert "received" not in caught.value.details


@pytest.mark.parametrize(("value", "revision"), [(None, 0), ("", 0), ("0", 0), ("17", 17)])
def test_the_id_of_an_event_is_a_revision(value: str | None, revision: int) -> None:
    assert read_last_id(value) == revision


@pytest.mark.parametrize("value", ["-1", "1.0", "x", "1 ", "9" * 16, "\u0661"])
def test_what_is_no_revision_is_refused(value: str) -> None:
    with pytest.raises(InvalidParameter):
        read_last_id(value)
