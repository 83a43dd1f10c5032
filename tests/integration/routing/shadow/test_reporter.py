"""The reporter loses nothing on a stop, and in an outage no more than what came in it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as redis

from control_plane.routing import reporter as reporter_module
from control_plane.routing.reporter import Reporter
from control_plane.routing.trials import CountStore
from tests.integration.admission.conftest import counter_process, free_port


class Notes:
    """A source that adds what it was told to a hash."""

    def __init__(self, server: redis.Redis, key: str = "notes") -> None:
        self._store = CountStore(server)
        self._key = key
        self.pending = 0

    async def write(self) -> None:
        pending, self.pending = self.pending, 0
        await self._store.add(self._key, {"n": pending})


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[redis.Redis]:
    async with redis.Redis.from_url(redis_url) as client:
        yield client


async def written(server: redis.Redis, key: str = "notes") -> int:
    return int(await server.hget(key, "n") or 0)


async def test_what_is_noted_is_written_while_it_runs(server: redis.Redis) -> None:
    notes = Notes(server)
    reporter = Reporter([notes], every_s=0.01)
    reporter.start()
    for _ in range(200):
        notes.pending += 1
        await asyncio.sleep(0.001)
    assert 0 < await written(server) <= 200
    notes.pending += 5
    await reporter.close()
    assert await written(server) == 205
    assert reporter.lost == 0


async def test_a_stop_before_the_first_report_loses_nothing(server: redis.Redis) -> None:
    notes = Notes(server)
    reporter = Reporter([notes], every_s=3600)
    reporter.start()
    notes.pending = 7
    await reporter.close()
    assert await written(server) == 7


async def test_an_outage_costs_what_was_noted_in_it_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    async with redis.Redis(port=port) as server:
        notes = Notes(server)
        reporter = Reporter([notes])
        with caplog.at_level(logging.WARNING, reporter_module.__name__):
            for _ in range(3):
                notes.pending = 4
                await reporter.report()
        assert reporter.lost == 12
        assert len(caplog.records) == 1
        with counter_process("valkey", tmp_path, port):
            notes.pending = 3
            await reporter.report()
            assert await written(server) == 3
    assert reporter.lost == 12


async def test_a_hung_server_holds_up_no_other_source(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "WRITE_S", 0.2)
    port = free_port()
    with counter_process("valkey", tmp_path, port) as process:
        async with redis.Redis(port=port) as hung, redis.Redis.from_url(redis_url) as well:
            os.kill(process.pid, signal.SIGSTOP)
            sources = Notes(hung), Notes(well)
            for source in sources:
                source.pending = 2
            reporter = Reporter(sources)
            await reporter.report()
            assert reporter.lost == 2
            assert await written(well) == 2
