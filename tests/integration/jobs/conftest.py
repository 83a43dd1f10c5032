"""Servers that may keep jobs: the embedded Valkey and Debian's Redis, every write synced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis as blocking
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.jobs.store import JobStore
from control_plane.setting_groups import JobSettings
from tests.integration.admission.conftest import counter_process, free_port
from tests.integration.jobs.workers import Queue, working
from tests.integration.test_cancellation import Journal
from tests.stack import Triton


@pytest.fixture(scope="session", params=["valkey", "redis-server"])
def durable_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a running server, each of both kinds."""
    port = free_port()
    with counter_process(request.param, tmp_path_factory.mktemp("jobs"), port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def jobs_url(durable_server: str) -> str:
    """URL of an empty server that syncs every write."""
    with blocking.Redis.from_url(durable_server) as client:
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "always")
        client.flushall()
    return durable_server


@pytest.fixture
async def server(jobs_url: str) -> AsyncIterator[redis.Redis]:
    """A client that sends nothing twice, as processes have it."""
    async with redis.Redis.from_url(
        jobs_url, socket_timeout=5, retry=Retry(NoBackoff(), 0)
    ) as client:
        yield client


@pytest.fixture
def store(server: redis.Redis) -> JobStore:
    """A store of jobs with the defaults of its settings."""
    return JobStore(server, JobSettings())


@pytest.fixture(scope="session")
def worker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server for jobs that real workers take."""
    port = free_port()
    with counter_process("valkey", tmp_path_factory.mktemp("worked"), port):
        with blocking.Redis(port=port) as client:
            client.config_set("appendonly", "yes")
            client.config_set("appendfsync", "always")
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
async def queue(worker_server: str, lab_triton: Triton, tmp_path: Path) -> AsyncIterator[Queue]:
    """Jobs for the models made for tests; nobody works on them yet."""
    async with redis.Redis.from_url(worker_server) as client:
        await client.flushall()
        yield Queue(worker_server, client, lab_triton.grpc, lab_triton.repository, tmp_path)


@pytest.fixture(scope="module")
async def worked(
    lab_triton: Triton, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Queue]:
    """Jobs for the models made for tests, and a worker."""
    port, folder = free_port(), tmp_path_factory.mktemp("worked")
    with counter_process("valkey", folder, port):
        async with redis.Redis(port=port) as client:
            await client.config_set("appendonly", "yes")
            await client.config_set("appendfsync", "always")
            url = f"redis://127.0.0.1:{port}/0"
            queue = Queue(url, client, lab_triton.grpc, lab_triton.repository, folder / "objects")
            with working(queue, jobs_inline_result_bytes="1024", jobs_lease_s="60"):
                yield queue


@pytest.fixture
def journal(lab_triton: Triton) -> Journal:
    """What the sleeping model of the lab wrote down."""
    return Journal(lab_triton)
