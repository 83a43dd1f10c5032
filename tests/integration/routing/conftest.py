"""The system of record that models are kept on: the embedded Valkey and Debian's Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.integration.admission.conftest import counter_server, redis_url

__all__ = ["counter_server", "redis_url"]


@pytest.fixture
async def records(redis_url: str) -> AsyncIterator[redis.Redis]:
    """A client of an empty server."""
    client = redis.Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0))
    yield client
    await client.aclose()
