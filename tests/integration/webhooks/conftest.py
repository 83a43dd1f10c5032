"""What tests of webhooks share: an empty house on either kind of server, and a receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from control_plane.environment import load_settings
from control_plane.setting_groups import WebhookSettings
from tests.integration.admission import conftest as servers
from tests.integration.webhooks.house import House, Receiver
from tests.stack import environment

counter_server = servers.counter_server
redis_url = servers.redis_url


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes what comes."""
    found = Receiver()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@pytest.fixture
def hooks() -> WebhookSettings:
    """Settings of webhooks; a module may have others."""
    return WebhookSettings(timeout_s=1.0)


@pytest.fixture
async def house(redis_url: str, hooks: WebhookSettings) -> AsyncIterator[House]:
    """An empty house that may call the loopback address."""
    given = load_settings(
        environment(redis_url=redis_url, triton_urls="127.0.0.1:1", egress_networks="127.0.0.0/8")
    )
    found = House(redis_url, msgspec.structs.replace(given, webhooks=hooks))
    yield found
    await found.server.aclose()
