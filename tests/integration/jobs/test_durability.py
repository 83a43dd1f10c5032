"""Which servers may keep jobs, and what is told of those that may not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis as blocking
import redis.asyncio as redis

from control_plane.environment import InvalidSettings
from control_plane.jobs.durability import Wanted, check, ensure_durable
from control_plane.jobs.store import JobStore
from control_plane.setting_groups import JobSettings
from tests.integration.admission.conftest import free_port
from tests.integration.jobs.submissions import asked, code_of, kept

FIT = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "0",
       "maxmemory-policy": "noeviction"}  # fmt: skip


@pytest.fixture
async def configured(server: redis.Redis) -> AsyncIterator[redis.Redis]:
    """A server whose configuration a test may change."""
    yield server
    for name, value in FIT.items():
        await server.config_set(name, value)


@pytest.mark.parametrize(
    ("changes", "durability", "reason"),
    [
        ({}, "always", None),
        ({}, "relaxed", None),
        ({"maxmemory": "1gb"}, "always", None),
        ({"maxmemory-policy": "allkeys-lru"}, "always", None),
        ({"appendfsync": "everysec"}, "relaxed", None),
        ({"appendfsync": "no"}, "relaxed", None),
        ({"appendfsync": "everysec"}, "always", "appendfsync everysec"),
        ({"appendfsync": "no"}, "always", "appendfsync no"),
        ({"appendonly": "no"}, "always", "no append-only file"),
        ({"appendonly": "no"}, "relaxed", "no append-only file"),
        ({"maxmemory": "1gb", "maxmemory-policy": "allkeys-lru"}, "always", "allkeys-lru"),
        ({"maxmemory": "1gb", "maxmemory-policy": "volatile-ttl"}, "relaxed", "volatile-ttl"),
    ],
)
async def test_what_a_server_has_to_do(
    configured: redis.Redis, changes: dict[str, Any], durability: Wanted, reason: str | None
) -> None:
    for name, value in changes.items():
        await configured.config_set(name, value)
    found = await check(configured, durability)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found


@pytest.mark.parametrize(
    ("changes", "durability", "reason"),
    [
        ({}, "always", "cannot be seen"),
        ({}, "relaxed", None),
        ({"appendonly": "no"}, "relaxed", "no append-only file"),
        ({"maxmemory": "1gb", "maxmemory-policy": "allkeys-lru"}, "relaxed", "allkeys-lru"),
    ],
)
async def test_a_server_that_forbids_config(
    configured: redis.Redis,
    jobs_url: str,
    changes: dict[str, Any],
    durability: Wanted,
    reason: str | None,
) -> None:
    for name, value in changes.items():
        await configured.config_set(name, value)
    await configured.acl_setuser(
        "guest", enabled=True, nopass=True, keys=["*"], channels=["*"],
        categories=["+@all"], commands=["-config"],
    )  # fmt: skip
    async with redis.Redis.from_url(jobs_url, username="guest", password="any") as guest:
        found = await check(guest, durability)
    assert (found is None) == (reason is None)
    assert reason is None or reason in (found or "")


async def test_a_start_is_refused_with_the_reason(configured: redis.Redis) -> None:
    await ensure_durable(configured, JobSettings())
    await configured.config_set("appendfsync", "everysec")
    with pytest.raises(InvalidSettings) as refused:
        await ensure_durable(configured, JobSettings())
    [line] = refused.value.problems
    assert line.startswith("TIDEGATE_REDIS_URL")
    assert "TIDEGATE_JOBS_DURABILITY=relaxed" in line
    await ensure_durable(configured, JobSettings(durability="relaxed"))


async def test_a_start_does_not_wait_for_a_server_that_is_away() -> None:
    async with redis.Redis(port=free_port()) as nobody:
        await ensure_durable(nobody, JobSettings())


async def test_no_job_is_taken_in_that_could_be_lost(configured: redis.Redis) -> None:
    await configured.config_set("appendfsync", "everysec")
    store = JobStore(configured, JobSettings())
    assert await code_of(store.submit([asked()])) == "JOBS_UNAVAILABLE"
    assert not await configured.dbsize()
    await configured.config_set("appendfsync", "always")
    await kept(store, asked())


@pytest.mark.parametrize("role", ["http", "worker"])
def test_a_process_ends_with_one_line(jobs_url: str, role: str) -> None:
    with blocking.Redis.from_url(jobs_url) as client, socket.create_server(("", 0)) as listener:
        client.config_set("appendfsync", "everysec")
        address = ["--fd", str(listener.fileno())] if role == "http" else []
        found = subprocess.run(
            [sys.executable, "-m", "control_plane", "process", role, *address],
            env={
                "PATH": os.environ["PATH"],
                "TIDEGATE_TRITON_URLS": "127.0.0.1:1",
                "TIDEGATE_REDIS_URL": jobs_url,
                "TIDEGATE_KEY_PEPPER": "pepper of the tests, 32 characters",
                "TIDEGATE_DATA_KEY": "A" * 43,
                "TIDEGATE_BOOTSTRAP_ADMIN_KEY": f"tg_live_aaaaaaaaaaaa_{'0' * 33}",
            },
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert found.returncode == 2, found.stderr[-2000:]
    assert "appendfsync everysec" in found.stderr
    assert "Traceback" not in found.stderr
