"""Objects at https addresses: of configured buckets only, pinned by their entity tag.

Plain http stands in for https here: the networks of the loopback address are configured, which
allows it; what TLS and refused networks are concerned, see the tests of ``egress``.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import obstore
import pytest

from control_plane.egress.calls import Egress
from control_plane.errors import TidegateError
from control_plane.setting_groups import EgressSettings
from control_plane.types import ObjectRule, PinnedObject
from control_plane.uploads.parts import PART_BYTES
from control_plane.uploads.remote import RemoteObjects
from tests.integration.admission.conftest import free_port
from tests.integration.uploads.conftest import code
from tests.integration.uploads.seaweed import BUCKET, Seaweed

CONTENT = random.Random(3).randbytes(PART_BYTES + 99)
RULE = ObjectRule(("audio/wav",), 1 << 30)
LOOPBACK = EgressSettings(networks=("127.0.0.0/8",))


class Server:
    """A server of one object that can be made to misbehave.

    Attributes:
        port: Where it listens.
        content: What it serves.
        tag: Entity tag; empty for none.
        media_type: Of the object.
        ranges: Whether it knows them.
        checks: Whether it looks at If-Match.
        status: In place of any answer; 0 for none.
        requests: Heads that came.
    """

    def __init__(self) -> None:
        self.port = 0
        self.content = CONTENT
        self.tag = '"one"'
        self.media_type = "Audio/WAV; codec=x"
        self.ranges = self.checks = True
        self.status = 0
        self.requests: list[str] = []

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Address of the object."""
        return f"http://{self.host}/bucket/talk.wav?signature=x"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        status, lines, body = self._answer(head)
        lines = [f"HTTP/1.1 {status} x", *lines, f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        writer.close()

    def _answer(self, head: str) -> tuple[int, list[str], bytes]:
        asked = re.search(r"range: bytes=(\d+)-(\d+)", head)
        wanted = re.search(r"if-match: (.*)\r\n", head)
        lines = [f"etag: {self.tag}"] if self.tag else []
        lines += [f"content-type: {self.media_type}", "location: http://127.0.0.1/"]
        if self.status:
            return self.status, lines, b""
        if self.checks and wanted and wanted[1] != self.tag:
            return 412, [], b""
        if not self.ranges or asked is None:
            return 200, lines, self.content
        first, last = int(asked[1]), min(int(asked[2]), len(self.content) - 1)
        lines.append(f"content-range: bytes {first}-{last}/{len(self.content)}")
        return 206, lines, self.content[first : last + 1]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    async with await asyncio.start_server(served.serve, "127.0.0.1", 0) as listener:
        served.port = listener.sockets[0].getsockname()[1]
        yield served


def remote(*buckets: str, anywhere: bool = False) -> RemoteObjects:
    return RemoteObjects(Egress(LOOPBACK), buckets, anywhere=anywhere)


async def whole(objects: RemoteObjects, found: PinnedObject) -> bytes:
    async with objects.open(found) as opened:
        return await opened.read(0, opened.size)


async def test_an_object_of_a_bucket_is_read_in_parts(server: Server) -> None:
    objects = remote("elsewhere.example", f"{server.host}/bucket")
    found = await objects.pin(server.url, RULE)
    assert found == PinnedObject(server.url, "audio/wav", len(CONTENT), '"one"')
    assert await whole(objects, found) == CONTENT
    assert len(server.requests) == 3
    assert all('if-match: "one"' in head for head in server.requests[1:])


@pytest.mark.parametrize(
    "path",
    [
        "/other/talk.wav",
        "/bucket",
        "/bucketeer/talk.wav",
        "/bucket/../other/talk.wav",
        "/bucket/%2e%2e/other/talk.wav",
        "/bucket/a%2f..%2f..%2fother",
        "//bucket/talk.wav",
    ],
)
async def test_what_is_not_of_the_bucket_is_refused_unasked(server: Server, path: str) -> None:
    objects = remote(f"{server.host}/bucket/")
    with pytest.raises(TidegateError) as error:
        await objects.pin(f"http://{server.host}{path}", RULE)
    assert code(error) == "ADDRESS_REFUSED"
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/x", "file:///etc/passwd", "data:,x", "/etc/passwd", "", "s3://bucket/key",
     "https://user@a.example/x", "https://a.example#x"],
)  # fmt: skip
async def test_other_schemes_are_refused(url: str) -> None:
    for objects in (remote("a.example"), remote(anywhere=True)):
        with pytest.raises(TidegateError) as error:
            await objects.pin(url, RULE)
        assert code(error) == "ADDRESS_REFUSED"


async def test_another_host_or_port_is_no_bucket(server: Server) -> None:
    with pytest.raises(TidegateError) as error:
        await remote("127.0.0.1", f"127.0.0.1:{server.port + 1}").pin(server.url, RULE)
    assert code(error) == "ADDRESS_REFUSED"
    assert (await remote(anywhere=True).pin(server.url, RULE)).size == len(CONTENT)


async def test_anywhere_is_nowhere_that_is_not_public(server: Server) -> None:
    objects = RemoteObjects(Egress(EgressSettings()), (server.host,), anywhere=True)
    with pytest.raises(TidegateError) as error:
        await objects.pin(server.url, RULE)
    assert code(error) == "ADDRESS_REFUSED"
    assert server.requests == []


@pytest.mark.parametrize("tag", ["", 'W/"one"', "one", '""'])
async def test_an_object_that_cannot_be_pinned_is_refused(server: Server, tag: str) -> None:
    server.tag = tag
    with pytest.raises(TidegateError, match="pinned") as error:
        await remote(server.host).pin(server.url, RULE)
    assert code(error) == "OBJECT_UNUSABLE"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, "OBJECT_UNUSABLE"), (302, "OBJECT_UNUSABLE"), (403, "OBJECT_UNUSABLE"),
     (404, "OBJECT_UNUSABLE"), (429, "UPLOADS_UNAVAILABLE"), (503, "UPLOADS_UNAVAILABLE")],
)  # fmt: skip
async def test_other_answers_are_refused(server: Server, status: int, expected: str) -> None:
    server.status = status
    with pytest.raises(TidegateError) as error:
        await remote(server.host).pin(server.url, RULE)
    assert code(error) == expected
    assert len(server.requests) == 1


async def test_a_server_without_ranges_is_refused(server: Server) -> None:
    server.ranges = False
    with pytest.raises(TidegateError, match="ranges"):
        await remote(server.host).pin(server.url, RULE)


@pytest.mark.parametrize("checks", [True, False], ids=["If-Match is looked at", "ignored"])
async def test_an_object_replaced_after_it_was_looked_at_is_refused(
    server: Server, *, checks: bool
) -> None:
    objects = remote(server.host)
    found = await objects.pin(server.url, RULE)
    server.checks, server.tag, server.content = checks, '"two"', CONTENT[::-1]
    with pytest.raises(TidegateError, match="replaced") as error:
        await whole(objects, found)
    assert code(error) == "OBJECT_UNUSABLE"


async def test_an_object_that_shrinks_under_its_tag_is_refused(server: Server) -> None:
    objects = remote(server.host)
    found = await objects.pin(server.url, RULE)
    server.content = CONTENT[:-1]
    with pytest.raises(TidegateError, match="replaced"):
        await whole(objects, found)


async def test_media_type_and_size_are_looked_at(server: Server) -> None:
    for rule in (ObjectRule(("audio/flac",), 1 << 30), ObjectRule(("audio/wav",), 5)):
        with pytest.raises(TidegateError) as error:
            await remote(server.host).pin(server.url, rule)
        assert code(error) == "OBJECT_UNUSABLE"


async def test_a_server_that_is_away_is_unavailable() -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(TidegateError) as error:
        await remote(host).pin(f"http://{host}/x", RULE)
    assert code(error) == "UPLOADS_UNAVAILABLE"


async def test_a_signed_address_of_a_real_bucket_is_read_and_pinned(weed: Seaweed) -> None:
    bucket = weed.bucket()
    obstore.put(bucket, "given/talk.wav", CONTENT, attributes={"Content-Type": "audio/wav"})
    url = obstore.sign(bucket, "GET", "given/talk.wav", timedelta(minutes=5))
    objects = remote(f"{weed.endpoint.removeprefix('http://')}/{BUCKET}/given")
    found = await objects.pin(url, RULE)
    assert await whole(objects, found) == CONTENT
    with pytest.raises(TidegateError) as error:
        await objects.pin(url[:-1] + ("0" if url[-1] != "0" else "1"), RULE)
    assert code(error) == "OBJECT_UNUSABLE"
    obstore.put(bucket, "given/talk.wav", CONTENT[::-1])
    with pytest.raises(TidegateError, match="replaced"):
        await whole(objects, found)
