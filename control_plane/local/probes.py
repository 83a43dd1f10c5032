"""Is it ready? The smallest HTTP and Valkey clients that can tell."""

from __future__ import annotations

import asyncio
from typing import Final

import httptools

from control_plane.local.process import Probe

PROBE_TIMEOUT_S: Final = 1.0


class _Answer:
    """Collects a response; the callbacks' names are httptools'."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


async def request(
    host: str,
    port: int,
    path: str,
    body: bytes | None = None,
    timeout_s: float = PROBE_TIMEOUT_S,
    key: str | None = None,
) -> tuple[int, bytes]:
    """Send a GET, or a POST of JSON if there is a body; the status and the body of the answer.

    An API key goes along if there is one.

    Raises:
        OSError: If there is no complete answer in time.
    """
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {host}\r\n"
    head += "Connection: close\r\nAccept: application/json\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    if key is not None:
        head += f"Authorization: Bearer {key}\r\n"
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(head.encode() + b"\r\n" + (body or b""))
            answer = _Answer()
            parser = httptools.HttpResponseParser(answer)
            while not answer.complete:
                chunk = await reader.read(65536)
                if not chunk:
                    raise ConnectionError(
                        "the connection was closed before the answer was complete"
                    )
                parser.feed_data(chunk)
            return int(parser.get_status_code()), answer.body
        except httptools.HttpParserError as error:
            raise ConnectionError(f"no HTTP answer: {error}") from error
        finally:
            writer.close()


def http_ok(host: str, port: int, path: str) -> Probe:
    """Ready when the path answers 200."""

    async def is_ready() -> bool:
        try:
            return (await request(host, port, path))[0] == 200
        except OSError:
            return False

    return is_ready


def valkey_pong(host: str, port: int, password: str) -> Probe:
    """Ready when PING is answered, which a server does once it has read its append-only file."""
    command = f"AUTH {password}\r\nPING\r\n".encode()

    async def is_ready() -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(command)
                    return await reader.readline() + await reader.readline() == b"+OK\r\n+PONG\r\n"
                finally:
                    writer.close()
        except OSError:
            return False

    return is_ready
