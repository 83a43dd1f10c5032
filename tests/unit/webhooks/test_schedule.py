"""What follows from an attempt, what is sent, and how it is signed."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from control_plane.webhooks import payload, signing
from control_plane.webhooks.schedule import DELAYS_S, MOST_S, asked_wait, judged
from control_plane.webhooks.shapes import DELIVERY_ID, Endpoint, Event, Status, Told

JOB = "job_" + "0123456789abcdef" * 2
NOW = 1_790_000_000.0


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_is_taken_succeeds(status: int) -> None:
    assert judged(1, status, "", None, 0.5).status is Status.SUCCEEDED


@given(
    number=st.integers(1, 9),
    status=st.sampled_from([100, 199, 300, 301, 307, 400, 401, 404, 429, 500, 503, 599]),
    luck=st.floats(0, 1),
)
def test_what_is_not_taken_waits_for_its_turn(number: int, status: int, luck: float) -> None:
    verdict = judged(number, status, "", None, luck)
    assert verdict.status is Status.WAITING
    assert DELAYS_S[number] * 1000 <= verdict.delay_ms <= DELAYS_S[number] * 1200
    assert verdict.error == f"status_{status}"


def test_the_schedule_is_that_of_the_documentation() -> None:
    hours = [seconds / 3600 for seconds in DELAYS_S[4:]]
    assert DELAYS_S[:4] == (0, 5, 300, 1800)
    assert hours == [2, 5, 10, 14, 20, 24]


def test_after_the_last_attempt_it_is_given_up() -> None:
    assert judged(len(DELAYS_S) - 1, 500, "", None, 0).status is Status.WAITING
    assert judged(len(DELAYS_S), 500, "", None, 0).status is Status.FAILED
    assert judged(len(DELAYS_S) + 3, 0, "timeout", None, 0).status is Status.FAILED


def test_gone_is_final_and_only_a_timeout_is_slow() -> None:
    gone = judged(1, 410, "", None, 0)
    assert (gone.status, gone.is_gone) == (Status.FAILED, True)
    assert judged(1, 0, "timeout", None, 0).is_slow
    assert not judged(1, 0, "connection", None, 0).is_slow
    for error in ("endpoint_deleted", "endpoint_disabled"):
        assert judged(1, 0, error, None, 0).status is Status.FAILED


@pytest.mark.parametrize(
    ("status", "wait_s", "seconds"),
    [
        (503, 60.0, 60),
        (429, 60.0, 60),
        (500, 60.0, 5),
        (503, 1.0, 5),
        (503, None, 5),
        (503, 1e9, MOST_S),
    ],
)
def test_a_receiver_may_ask_for_a_longer_wait(
    status: int, wait_s: float | None, seconds: int
) -> None:
    assert judged(1, status, "", wait_s, 0).delay_ms == seconds * 1000


def test_retry_after_is_seconds_or_a_date() -> None:
    later = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    earlier = format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True)
    assert asked_wait("120", NOW) == 120
    assert asked_wait(later, NOW) == 90
    assert asked_wait(earlier, NOW) == 0
    for text in (None, "", "soon", "-1", "1.5", "9" * 10, "Mon, 99 Foo 2026 00:00:00 GMT"):
        assert asked_wait(text, NOW) is None


@given(body=st.binary().map(msgspec.json.encode))
def test_signatures_are_those_of_the_official_library(body: bytes) -> None:
    secret = signing.mint()
    made = signing.signature(secret, "msg_1", int(NOW), body)
    official = Webhook(secret).sign("msg_1", datetime.fromtimestamp(NOW, UTC), body.decode())
    assert made == official


def test_secrets_are_of_the_specification() -> None:
    secrets = {signing.mint() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


def endpoint(name: str, *events: Event, enabled: bool = True) -> Endpoint:
    """An endpoint."""
    return Endpoint(id=name, tenant="acme", url="", host="", events=events, enabled=enabled)


def test_messages_are_a_function_of_job_and_receiver() -> None:
    told = Told({"job_id": JOB}, 1_790_000_000_123, "https://a.example:8443/x?y")
    endpoints = [endpoint("we_1"), endpoint("we_2", Event.FAILED), endpoint("we_3", enabled=False)]
    made = payload.messages(JOB, "acme", Event.COMPLETED, told, endpoints)
    assert made == payload.messages(JOB, "acme", Event.COMPLETED, told, endpoints)
    assert [message.receiver for message in made] == ["we_1", payload.origin(told.webhook_url)]
    assert all(DELIVERY_ID.fullmatch(message.id) for message in made)
    assert len({message.id for message in made}) == 2
    body = msgspec.json.decode(made[0].body)
    assert body == {
        "type": "job.completed",
        "timestamp": "2026-09-21T14:13:20.123Z",
        "data": {"job_id": JOB},
    }


def test_own_addresses_of_one_origin_are_one_receiver() -> None:
    one = payload.origin("https://a.example/x")
    assert one == payload.origin("https://A.example:443/y?z")
    assert one != payload.origin("https://a.example:8443/x")
    assert payload.origin("not an address") != one
