"""A whole answer in one write says what uvicorn's two messages would have said."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvicorn

from control_plane.wire import EnvelopeProtocol, answer

CLOSE = (b"connection", b"close")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers what the path asks for."""
    await receive()
    headers = [(b"x-kind", b"whole"), (b"content-length", b"2")]
    if scope["path"] == "/close":
        headers.append(CLOSE)
    if scope["path"] == "/inject":
        headers.append((b"x-bad", b"1\r\nx-injected: 1"))
    await answer(send, 200, headers, b"ok")


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, http=partial(EnvelopeProtocol, refused=lambda _: None), lifespan="off",
        log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
        yield int(listener.getsockname()[1])
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def exchange(port: int, *requests: str) -> tuple[bytes, bool]:
    """What comes back, and whether the server closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(f"{line} HTTP/1.1\r\nhost: x\r\n\r\n" for line in requests).encode())
    received = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while chunk := await reader.read(65536):
                received += chunk
            writer.close()
            return received, True
    writer.close()
    return received, False


async def test_an_answer_is_whole_and_the_connection_stays(port: int) -> None:
    received, closed = await exchange(port, "GET /", "GET /")
    assert not closed
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.count(b"\r\nx-kind: whole\r\ncontent-length: 2\r\n\r\nok") == 2
    assert received.count(b"\r\ndate: ") == 2


async def test_an_answer_that_says_close_closes(port: int) -> None:
    received, closed = await exchange(port, "GET /close")
    assert closed
    assert received.count(b"connection: close") == 1
    assert received.endswith(b"\r\n\r\nok")


async def test_head_has_no_body(port: int) -> None:
    received, _ = await exchange(port, "HEAD /")
    assert b"content-length: 2\r\n" in received
    assert received.endswith(b"\r\n\r\n")


async def test_a_header_with_a_line_break_is_never_sent(port: int) -> None:
    received, closed = await exchange(port, "GET /inject")
    assert closed
    assert received == b""
