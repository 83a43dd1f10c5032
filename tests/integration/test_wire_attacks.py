"""Bytes that look like HTTP and mean harm."""

from __future__ import annotations

import json

import pytest

from tests.integration.local.processes import eventually
from tests.integration.wire import connect, post, read, send
from tests.stack import Gateway, until

GOOD = json.dumps({"inputs": {"text": "lovely"}}).encode()
PATH = "/api/v1/models/picky/predict"
UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")


@pytest.mark.parametrize(
    "flood",
    [b"X-A: b\r\n" * 20_000, b"X-A: " + b"b" * 200_000, b"X: " + b"y" * 70_000 + b"\r\n"],
    ids=["many", "endless", "one"],
)
def test_a_head_without_end_is_refused_and_the_connection_closed(
    lab: Gateway, flood: bytes
) -> None:
    with connect(lab) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + flood)
        reply = read(connection, "GET")
    if reply.status:  # what was still on its way may reset the connection
        assert (reply.status, reply.error()["code"]) == (431, "HEADERS_TOO_LARGE")
    assert lab.client.get("/healthz").is_success


def test_a_url_without_end_is_refused(lab: Gateway) -> None:
    reply = send(lab, b"GET /" + b"a" * 70_000, method="GET")
    assert (reply.status, reply.error()["code"]) == (431, "HEADERS_TOO_LARGE")


def test_a_large_body_is_no_large_head(lab: Gateway) -> None:
    body = json.dumps({"inputs": {"text": "x" * 300_000}}).encode()
    assert send(lab, post(body, path=PATH)).status == 422


def test_many_requests_of_one_connection_are_no_large_head(lab: Gateway) -> None:
    with connect(lab) as connection:
        for _ in range(400):
            connection.sendall(post(GOOD, path=PATH))
            assert read(connection).status == 200


def test_a_body_behind_an_upgrade_is_never_a_second_request(lab: Gateway) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    request = post(hidden, *UPGRADE, path=PATH)
    head, _, body = request.partition(b"\r\n\r\n")
    for parts in ([request], [head + b"\r\n\r\n", body]):
        with connect(lab) as connection:
            for part in parts:
                connection.sendall(part)
            assert read(connection).status == 400
            assert connection.recv(1) == b""


def test_an_upgrade_without_a_body_is_passed_over(lab: Gateway) -> None:
    lines = ["GET /healthz HTTP/1.1", "Host: x", *UPGRADE, "", ""]
    assert send(lab, "\r\n".join(lines).encode(), method="GET").status == 200


def test_trailers_are_no_headers(lab: Gateway) -> None:
    head = post(GOOD, "Transfer-Encoding: chunked", path=PATH, length=False)
    head = head.removesuffix(GOOD)
    body = b"%x\r\n%s\r\n0\r\nX-Request-Timeout: 0\r\n\r\n" % (len(GOOD), GOOD)
    assert send(lab, head + body).status == 200


def test_a_body_that_drips_in_ends_with_its_deadline(lab: Gateway) -> None:
    request = post(GOOD, "X-Request-Timeout: 300", path=PATH)
    with connect(lab) as connection:
        connection.sendall(request[:-5])
        reply = read(connection)
    assert (reply.status, reply.error()["code"]) == (504, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("count", [49, 50, 500])
def test_unknown_fields_do_not_hide_that_inputs_are_missing(lab: Gateway, count: int) -> None:
    body = json.dumps({f"a{number}": 1 for number in range(count)}).encode()
    assert send(lab, post(body, path=PATH)).status == 422


def test_an_error_is_counted_for_the_model_that_it_was_meant_for(lab: Gateway) -> None:
    labels = {"model": "picky", "status": "422"}
    before = lab.samples("tidegate_request_duration_seconds_count", **labels)
    assert send(lab, post(b'{"inputs": {}}', path=PATH)).status == 422
    # Counted once the answer is on its way.
    name = "tidegate_request_duration_seconds_count"
    assert until(lambda: lab.samples(name, **labels) == before + 1, 10)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"NO HTTP\r\n\r\n", "400", "MALFORMED_REQUEST"),
        (b"GET /" + b"a" * 70_000, "431", "HEADERS_TOO_LARGE"),
    ],
)
def test_what_never_reaches_the_application_is_counted_and_logged(
    lab: Gateway, request_: bytes, status: str, code: str
) -> None:
    labels = {"route": "unmatched", "model": "", "version": "", "status": status}
    name = "tidegate_request_duration_seconds_count"
    before = lab.samples(name, **labels), lab.samples("tidegate_errors_total", code=code)
    reply = send(lab, request_, method="GET")
    assert (str(reply.status), reply.error()["code"]) == (status, code)
    after = lab.samples(name, **labels), lab.samples("tidegate_errors_total", code=code)
    assert after == (before[0] + 1, before[1] + 1)
    request_id = reply.headers["x-request-id"]
    line = eventually(
        lambda: next((line for line in list(lab.run.output) if request_id in line), None),
        lab.run.log,
    )
    logged = json.loads(line)
    assert (logged["route"], str(logged["status"]), logged["error"]) == ("unmatched", status, code)
