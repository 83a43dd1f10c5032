"""The room on real servers: a folder with Valkey, and a bucket of SeaweedFS with Redis."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis

from control_plane.api import objects as door
from control_plane.api.request import read_headers
from control_plane.egress.calls import Egress
from control_plane.environment import load_settings
from control_plane.errors import TidegateError
from control_plane.setting_groups import EgressSettings
from control_plane.settings import Settings
from control_plane.telemetry.exchange import Exchange
from control_plane.types import ObjectRule
from control_plane.uploads import layout
from control_plane.uploads.room import UploadRoom
from control_plane.uploads.shapes import Address, Upload, Wish
from tests.integration.admission.conftest import counter_process, free_port
from tests.integration.uploads.seaweed import BUCKET, Seaweed, seaweed
from tests.stack import environment

TENANT = "acme"


class Objects:
    """A room, and what a client does with it.

    Attributes:
        room: The parts under test.
        server: The system of record.
        kind: ``folder`` or ``bucket``.
        settings: Of the room.
    """

    def __init__(self, kind: str, server: redis.Redis, settings: Settings) -> None:
        self.kind = kind
        self.server = server
        self.settings = settings
        self.room = UploadRoom(server, settings, Egress(settings.egress))
        self.uploads = self.room.uploads

    def with_settings(self, **uploads: Any) -> Objects:
        """The same room with other settings."""
        group = msgspec.structs.replace(self.settings.uploads, **uploads)
        settings = msgspec.structs.replace(self.settings, uploads=group)
        return Objects(self.kind, self.server, settings)

    @staticmethod
    def rule(*media_types: str, max_bytes: int = 1 << 40) -> ObjectRule:
        """What an input takes."""
        return ObjectRule(media_types or ("audio/wav",), max_bytes)

    async def make(
        self, content: bytes, *, tenant: str = TENANT, media_type: str = "audio/wav", **wish: str
    ) -> tuple[Upload, Address]:
        """An upload that waits for a content."""
        return await self.uploads.make(
            tenant, Wish("talk.wav", media_type, len(content), wish.get("sha256", ""))
        )

    async def put(
        self,
        address: Address,
        content: bytes,
        *,
        method: str = "",
        url: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Status of a request to a signed address; what is named takes the place of its parts."""
        sent = dict(address.headers if headers is None else headers)
        target = url or address.url
        transport = None if "://" in target else httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(base_url="http://here", transport=transport) as client:
            answer = await client.request(
                method or address.method, target, headers=sent, content=content
            )
        return answer.status_code

    async def complete(self, content: bytes, **wish: Any) -> Upload:
        """An upload whose object is there."""
        upload, address = await self.make(content, **wish)
        assert await self.put(address, content) in {200, 201}
        return await self.uploads.get(upload.tenant, upload.id)

    async def keys(self, prefix: str = layout.UPLOADS) -> list[str]:
        """Every object under a prefix, those being written, too."""
        prefixes = [prefix, "partial"] if prefix == layout.UPLOADS else [prefix]
        pages = [page for each in prefixes async for page in self.room.objects.listed(each)]
        return [listed.key for page in pages for listed in page]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        """The door's function, between plain ASGI and the room."""
        services: Any = SimpleNamespace(uploads=self.room)
        exchange = Exchange("req_test", None, scope["method"], 0.0)
        try:
            headers = read_headers(scope)
            body, _ = await door.put(services, scope, headers, receive, exchange)
            status = 201
        except TidegateError as error:
            body, status = error.code.encode(), error.status
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A running S3 server."""
    with seaweed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session", params=["folder", "bucket"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """Where objects and records lie: settings by name."""
    kind = request.param
    port = free_port()
    name = {"folder": "valkey", "bucket": "redis-server"}[kind]
    with counter_process(name, tmp_path_factory.mktemp("records"), port):
        values = {"redis_url": f"redis://127.0.0.1:{port}/0", "triton_urls": "127.0.0.1:1"}
        if kind == "folder":
            values["uploads_store"] = str(tmp_path_factory.mktemp("objects"))
        else:
            server: Seaweed = request.getfixturevalue("weed")
            values |= {"uploads_store": f"s3://{BUCKET}", "uploads_endpoint": server.endpoint}
            os.environ.update(server.environment)
        yield kind, values
        for variable in server.environment if kind == "bucket" else ():
            del os.environ[variable]


@pytest.fixture
async def objects(place: tuple[str, dict[str, str]]) -> AsyncIterator[Objects]:
    """An empty room on each kind of store."""
    kind, values = place
    values = dict(values)
    if kind == "bucket":
        values["uploads_store"] += f"/{uuid.uuid4().hex}"
    else:
        folder = Path(values["uploads_store"]) / uuid.uuid4().hex
        values["uploads_store"] = str(folder)
    settings = load_settings(environment(**values))
    egress = EgressSettings(networks=("127.0.0.0/8",))
    settings = msgspec.structs.replace(settings, egress=egress)
    async with redis.Redis.from_url(values["redis_url"]) as server:
        await server.flushall()
        yield Objects(kind, server, settings)


def code(error: pytest.ExceptionInfo[TidegateError]) -> str:
    """Code of an error that was raised."""
    return error.value.code


def masked(text: str) -> str:
    """A text with the ids of uploads taken out."""
    return re.sub("upl_[0-9a-f]{32}", "upl_", text)
