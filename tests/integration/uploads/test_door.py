"""Uploads over HTTP: the routes, and objects put at addresses of this API's own."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.stack import Customer, Stack, until

CONTENT = b"so it goes" * 100
MIB = 1_048_576


@pytest.fixture
def customer(stack: Stack) -> Customer:
    return stack.customer("uploads")


def wish(content: bytes = CONTENT, **other: Any) -> dict[str, Any]:
    sent = {"filename": "talk.wav", "content_type": "audio/wav", "size": len(content)}
    return {**sent, **other}


def made(stack: Stack, customer: Customer, **body: Any) -> dict[str, Any]:
    answer = stack.anonymous.post("/api/v1/uploads", json=body or wish(), headers=customer.headers)
    assert answer.status_code == 201, answer.text
    upload: dict[str, Any] = answer.json()
    return upload


def put(stack: Stack, upload: dict[str, Any], content: Any = CONTENT, **headers: str) -> Any:
    address = upload["upload"]
    return stack.anonymous.request(
        address["method"],
        address["url"],
        content=content,
        headers={**address["headers"], **stack.elsewhere(), **headers},
    )


def read(stack: Stack, customer: Customer, upload: dict[str, Any]) -> httpx.Response:
    path = f"/api/v1/uploads/{upload['upload_id']}"
    return stack.anonymous.get(path, headers=customer.headers)


def files(stack: Stack, upload: dict[str, Any]) -> list[Path]:
    found = (stack.data / "objects").rglob(f"*{upload['upload_id']}*")
    return [path for path in found if path.exists()]


def test_an_upload_from_the_address_to_its_end(stack: Stack, customer: Customer) -> None:
    upload = made(stack, customer)
    assert upload["url"] == f"tidegate://uploads/{upload['upload_id']}"
    assert upload["status"] == "waiting"
    assert upload["upload"]["method"] == "PUT"
    assert upload["max_bytes"] == 4_294_967_296
    answer = put(stack, upload)
    assert answer.status_code == 201, answer.text
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert answer.json()["sha256"] == digest
    assert answer.json()["completed_at"]
    assert "x-request-id" in answer.headers
    shown = read(stack, customer, upload).json()
    assert (shown["status"], shown["sha256"], shown["size"]) == ("complete", digest, len(CONTENT))
    listed = stack.anonymous.get("/api/v1/uploads?limit=1", headers=customer.headers).json()
    assert listed == {"items": [shown], "next_cursor": None}
    path = f"/api/v1/uploads/{upload['upload_id']}"
    assert stack.anonymous.delete(path, headers=customer.headers).status_code == 204
    assert read(stack, customer, upload).status_code == 404
    assert files(stack, upload) == []
    assert put(stack, upload).status_code == 410


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", ""),
        ("filename", "a" * 256),
        ("filename", "../etc/passwd"),
        ("filename", "a\\b"),
        ("filename", "a\u0000b"),
        ("filename", "a\nb"),
        ("filename", 5),
        ("content_type", "audio"),
        ("content_type", "audio/wav; charset=x"),
        ("content_type", "audio/wav\n"),
        ("content_type", "/"),
        ("size", 0),
        ("size", -1),
        ("size", 1.5),
        ("size", (1 << 40) + 1),
        ("sha256", "0" * 63),
        ("sha256", "g" * 64),
        ("more", 1),
    ],
)
def test_what_is_out_of_its_range_is_named(
    stack: Stack, customer: Customer, field: str, value: object
) -> None:
    body = wish(**{field: value})
    answer = stack.anonymous.post("/api/v1/uploads", json=body, headers=customer.headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["details"]["field"] == field


def test_edges_of_the_ranges_are_taken(stack: Stack, customer: Customer) -> None:
    name = "é" * 255
    upload = made(stack, customer, **wish(b"x", filename=name, content_type="Audio/X-Wav"))
    assert (upload["filename"], upload["content_type"]) == (name, "audio/x-wav")
    assert put(stack, upload, b"x").status_code == 201
    made(stack, customer, **wish(size=4_294_967_296))
    large = wish(size=4_294_967_297)
    answer = stack.anonymous.post("/api/v1/uploads", json=large, headers=customer.headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["details"] == {"limit_bytes": 4_294_967_296}


def test_uploads_need_a_tenant_and_the_scope(stack: Stack) -> None:
    without = stack.customer("predict")
    for headers, status in ((without.headers, 403), (stack.elsewhere(), 401)):
        answers = [
            stack.anonymous.post("/api/v1/uploads", json=wish(), headers=headers),
            stack.anonymous.get("/api/v1/uploads", headers=headers),
            stack.anonymous.get("/api/v1/uploads/upl_1", headers=headers),
            stack.anonymous.delete("/api/v1/uploads/upl_1", headers=headers),
        ]
        assert [answer.status_code for answer in answers] == [status] * 4


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x", "page=1"])
def test_a_parameter_out_of_its_range_is_named(
    stack: Stack, customer: Customer, query: str
) -> None:
    answer = stack.anonymous.get(f"/api/v1/uploads?{query}", headers=customer.headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["parameter"] == query.partition("=")[0]


def test_requests_that_are_not_what_was_signed_are_refused(
    stack: Stack, customer: Customer
) -> None:
    upload = made(stack, customer)
    path, _, query = upload["upload"]["url"].partition("?")
    address = {**upload["upload"]}
    for url, status in (
        (path, 403),
        (f"{path}?{query}&more=1", 403),
        (f"{path}?{query}&{query}", 403),
        (f"{path}?{query[:-1]}", 403),
        (f"{path}?{query.replace('expires=', 'expires=0')}", 403),
        (f"{path}x?{query}", 404),
        (f"/objects/?{query}", 404),
    ):
        answer = put(stack, {"upload": {**address, "url": url}})
        assert answer.status_code == status, (url, answer.text)
        assert answer.headers["connection"] == "close"
    assert put(stack, upload, **{"content-encoding": "gzip"}).status_code == 400
    assert stack.anonymous.get(address["url"], headers=stack.elsewhere()).status_code == 405
    chunked = stack.anonymous.put(
        address["url"],
        content=iter([CONTENT]),
        headers={"content-type": "audio/wav", **stack.elsewhere()},
    )
    assert chunked.status_code == 400
    assert chunked.json()["error"]["details"]["parameter"] == "Content-Length"
    assert files(stack, upload) == []
    assert put(stack, upload).status_code == 201


def test_who_guesses_signatures_is_slowed_down(stack: Stack, customer: Customer) -> None:
    upload = made(stack, customer)
    guessed = upload["upload"]["url"][:-43] + "A" * 43
    headers, network = upload["upload"]["headers"], stack.elsewhere()

    def status() -> int:
        sent = {**headers, **network}
        return stack.anonymous.put(guessed, content=CONTENT, headers=sent).status_code

    statuses = [status() for _ in range(60)]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    assert put(stack, upload).status_code == 201


def head_of(upload: dict[str, Any]) -> bytes:
    address = upload["upload"]
    lines = [f"PUT {address['url']} HTTP/1.1", "host: here", "x-forwarded-for: 10.9.9.9"]
    lines += [f"{name}: {value}" for name, value in address["headers"].items()]
    return "\r\n".join([*lines, "", ""]).encode()


def connected(stack: Stack) -> socket.socket:
    host, _, port = stack.endpoints["http"].rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_an_upload_that_is_cut_off_leaves_nothing_and_can_be_sent_again(
    stack: Stack, customer: Customer
) -> None:
    content = b"x" * (3 * MIB)
    upload = made(stack, customer, **wish(content))
    with connected(stack) as wire:
        wire.sendall(head_of(upload) + content[: 2 * MIB])
        assert until(lambda: files(stack, upload), 20)
        assert put(stack, upload, content).status_code == 409
    assert until(lambda: not files(stack, upload), 20)
    assert read(stack, customer, upload).json()["status"] == "waiting"
    assert put(stack, upload, content).status_code == 201


def test_what_a_slow_upload_has_sent_lies_on_the_disk_and_not_in_memory(
    stack: Stack, customer: Customer
) -> None:
    content = bytes(700_000)
    upload = made(stack, customer, **wish(bytes(1_000_000)))
    with connected(stack) as wire:
        wire.sendall(head_of(upload) + content)

        def on_disk() -> int:
            parts = [file for folder in files(stack, upload) for file in folder.glob("content")]
            return sum(file.stat().st_size for file in parts)

        assert until(lambda: on_disk() >= len(content) - 2 * 131_072, 10), on_disk()


def test_of_two_at_once_one_wins(stack: Stack, customer: Customer) -> None:
    content = b"x" * (2 * MIB)
    upload = made(stack, customer, **wish(content))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(put, stack, upload, content) for _ in range(4)]
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [201, 409, 409, 409]


def http_process(stack: Stack) -> psutil.Process:
    """The one process of the public API."""
    children = psutil.Process(stack.run.popen.pid).children(recursive=True)
    (found,) = [each for each in children if each.cmdline()[3:6] == ["control_plane", "process",
                                                                    "http"]]  # fmt: skip
    return found


def test_a_large_object_takes_constant_memory(stack: Stack, customer: Customer) -> None:
    size, block = 64 * MIB, bytes(MIB)
    process = http_process(stack)
    put(stack, made(stack, customer))
    before = process.memory_info().rss
    most = before

    def content() -> Iterator[bytes]:
        nonlocal most
        for _ in range(size // MIB):
            yield block
            most = max(most, process.memory_info().rss)

    upload = made(stack, customer, **wish(size=size))
    assert put(stack, upload, content()).status_code == 201
    assert most - before < 32 * MIB
    shown = read(stack, customer, upload).json()
    assert shown["sha256"] == hashlib.sha256(bytes(size)).hexdigest()


def test_an_upload_counts_by_its_route(stack: Stack, customer: Customer) -> None:
    series, labels = "tidegate_request_duration_seconds_count", {"route": "/objects/{upload}"}
    before = stack.samples(series, status="201", **labels)
    assert put(stack, made(stack, customer)).status_code == 201
    assert until(lambda: stack.samples(series, status="201", **labels) == before + 1, 10)
