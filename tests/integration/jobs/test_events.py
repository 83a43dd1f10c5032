"""Server-sent events of a job."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.stack import Customer, Stack, until

INPUTS = {"text": "The room was lovely"}
SCOPES = ("predict", "jobs")


class Event(NamedTuple):
    """One event of a stream."""

    name: str
    id: int
    data: dict[str, Any]


def events(answer: httpx.Response) -> Iterator[Event]:
    """The events of a stream as a browser reads them; comments are left out."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            fields = {}


@pytest.fixture
def customer(stack: Stack) -> Customer:
    """A tenant of its own for each test: streams are capped by tenant."""
    return stack.customer(*SCOPES)


def submit(stack: Stack, customer: Customer, **body: Any) -> str:
    made = stack.anonymous.post(
        "/api/v1/jobs", json={"inputs": INPUTS, **body}, headers=customer.headers
    )
    assert made.status_code == 202, made.text
    return str(made.json()["job_id"])


@contextlib.contextmanager
def followed(
    stack: Stack, job_id: str, headers: dict[str, str], **more: str
) -> Iterator[httpx.Response]:
    sent = {**headers, **{name.replace("_", "-"): text for name, text in more.items()}}
    with stack.anonymous.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=sent) as answer:
        yield answer


def test_each_state_is_told_until_the_end(stack: Stack, customer: Customer) -> None:
    job_id = submit(stack, customer, start_after_s=1)
    with followed(stack, job_id, customer.headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        seen = list(events(answer))
    states = [event.data["status"] for event in seen if event.name == "state"]
    assert states[0] == "pending"
    assert states[-1] == "completed"
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids))
    assert seen[-1].data["links"] == {"self": f"/api/v1/jobs/{job_id}"}
    assert all("result" not in event.data for event in seen)


def test_a_stream_goes_on_after_what_was_seen(stack: Stack, customer: Customer) -> None:
    job_id = submit(stack, customer)
    with followed(stack, job_id, customer.headers) as answer:
        last = list(events(answer))[-1]
    with followed(stack, job_id, customer.headers, last_event_id=str(last.id - 1)) as answer:
        assert [event.id for event in events(answer)] == [last.id]
    with followed(stack, job_id, customer.headers, last_event_id=str(last.id)) as answer:
        assert answer.status_code == 204
        assert answer.read() == b""


@pytest.mark.parametrize("last_id", ["999", "-1", "x", "1 2"])
def test_an_id_of_no_event_is_refused(stack: Stack, customer: Customer, last_id: str) -> None:
    job_id = submit(stack, customer, start_after_s=3600)
    with followed(stack, job_id, customer.headers, last_event_id=last_id) as answer:
        assert answer.status_code == 400
        assert json.loads(answer.read())["error"]["details"]["parameter"] == "Last-Event-ID"


def test_a_key_is_taken_in_a_header_only(stack: Stack, customer: Customer) -> None:
    job_id = submit(stack, customer, start_after_s=3600)
    path = f"/api/v1/jobs/{job_id}/events"
    for name in ("key", "api_key", "access_token", "authorization", "x-api-key"):
        answer = stack.anonymous.get(path, params={name: customer.key})
        assert answer.status_code in {400, 401}
        assert customer.key not in answer.text


def test_a_cancellation_ends_the_stream(stack: Stack, customer: Customer) -> None:
    job_id = submit(stack, customer, start_after_s=3600)
    with followed(stack, job_id, customer.headers) as answer:
        stream = events(answer)
        assert next(stream).data["status"] == "pending"
        stack.anonymous.post(f"/api/v1/jobs/{job_id}/cancel", headers=customer.headers)
        assert [event.data["status"] for event in stream] == ["canceled"]


def test_revoking_the_key_closes_the_stream(stack: Stack, customer: Customer) -> None:
    job_id = submit(stack, customer, start_after_s=3600)
    with followed(stack, job_id, customer.headers) as answer:
        stream = events(answer)
        assert next(stream).data["status"] == "pending"
        revoked = stack.operators.delete(f"/keys/{customer.key_id}")
        assert revoked.is_success, revoked.text
        began = time.monotonic()
        assert list(stream) == []
    assert time.monotonic() - began < 10, "the stream outlived its key"


def test_streams_are_capped_and_those_that_close_make_room(stack: Stack) -> None:
    customer = stack.customer(*SCOPES)
    job_id = submit(stack, customer, start_after_s=3600)
    with contextlib.ExitStack() as opened:
        for _ in range(32):
            answer = opened.enter_context(followed(stack, job_id, customer.headers))
            assert answer.status_code == 200
        with followed(stack, job_id, customer.headers) as refused:
            assert refused.status_code == 429
            assert json.loads(refused.read())["error"]["code"] == "TOO_MANY_OPEN"
            assert int(refused.headers["retry-after"]) >= 1
        ours = submit(stack, other := stack.customer(*SCOPES), start_after_s=3600)
        with followed(stack, ours, other.headers) as answer:
            assert answer.status_code == 200, "another tenant's streams count against this one"

    def has_room() -> bool:
        with followed(stack, job_id, customer.headers) as answer:
            return answer.status_code == 200

    assert until(has_room, 10), "a client that goes is not noticed"


def test_a_stream_holds_no_place_of_a_request_in_flight(stack: Stack) -> None:
    customer = stack.customer(*SCOPES, concurrency=1)
    job_id = submit(stack, customer, start_after_s=3600)
    with followed(stack, job_id, customer.headers) as answer:
        next(events(answer))
        shown = stack.anonymous.get(f"/api/v1/jobs/{job_id}", headers=customer.headers)
        assert shown.status_code == 200, shown.text


def test_a_stop_of_the_process_closes_its_streams(stack: Stack, door: Any) -> None:
    customer = stack.customer(*SCOPES)
    job_id = submit(stack, customer, start_after_s=3600)
    closed = threading.Event()
    with door(drain_delay_s="3") as gateway:
        path = f"/api/v1/jobs/{job_id}/events"
        with gateway.anonymous.stream("GET", path, headers=customer.headers) as answer:
            stream = events(answer)
            assert next(stream).data["status"] == "pending"
            gateway.run.popen.terminate()
            assert list(stream) == []
            closed.set()
    assert closed.is_set()


def test_a_head_of_a_stream_ends(stack: Stack, customer: Customer) -> None:
    job_id = submit(stack, customer, start_after_s=3600)
    answer = stack.anonymous.head(f"/api/v1/jobs/{job_id}/events", headers=customer.headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"


def test_a_reader_that_takes_nothing_costs_its_own_stream_alone(
    stack: Stack, customer: Customer
) -> None:
    job_id = submit(stack, customer, start_after_s=2)
    with followed(stack, job_id, customer.headers) as idle:
        assert idle.status_code == 200
        with followed(stack, job_id, customer.headers) as answer:
            assert [event.data["status"] for event in events(answer)][-1] == "completed"
        assert [event.data["status"] for event in events(idle)][-1] == "completed"
