"""Bytes to a server and back, for what no HTTP client would send."""

from __future__ import annotations

import http.client
import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from tests.stack import Gateway

TIMEOUT_S = 30.0
_BEGINNING = re.compile(rb"[A-Z]+ [^\r\n]* HTTP/1\.1\r\nHost: x\r\n")


class Reply(Struct, frozen=True):
    """A response.

    Attributes:
        status: 0 if the connection was closed without one.
        headers: By lower-case name.
        body: Its bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def error(self) -> dict[str, Any]:
        """What is in the envelope."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


class Connection(socket.socket):
    """A connection that adds a key to what begins as a request does.

    Attributes:
        gateway: Whose keys they are.
    """

    gateway: Gateway

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]
        """Send bytes, with one header more if they are the head of a request to host ``x``."""
        head = _BEGINNING.match(data)
        if head is not None:
            key = f"Authorization: {self.gateway.crowd.header()}\r\n".encode()
            data = head[0] + key + data[head.end() :]
        super().sendall(data, flags)


def connect(gateway: Gateway) -> Connection:
    """A connection to the public port."""
    address = urlsplit(gateway.http)
    opened = socket.create_connection((str(address.hostname), int(address.port or 0)), TIMEOUT_S)
    connection = Connection(fileno=opened.detach())
    connection.settimeout(TIMEOUT_S)
    connection.gateway = gateway
    return connection


def read(connection: socket.socket, method: str = "POST") -> Reply:
    """The next response of a connection."""
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
    except (ConnectionError, http.client.BadStatusLine):
        return Reply(0, {}, b"")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def send(gateway: Gateway, *parts: bytes, method: str = "POST") -> Reply:
    """Send some bytes; the first response."""
    with connect(gateway) as connection:
        for part in parts:
            connection.sendall(part)
        return read(connection, method)


def post(
    body: bytes,
    *headers: str,
    path: str = "/api/v1/predict",
    content_type: str = "application/json",
    length: bool = True,
) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
