"""What webhooks tell of jobs, read from the store."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio as redis

from control_plane.api.job_views import view
from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.store import JobStore
from control_plane.jobs.work.telling import Teller
from control_plane.sealing import Sealer
from control_plane.setting_groups import JobSettings
from tests.integration.jobs.submissions import asked, kept

SEALER = Sealer("A" * 43)
URL = "https://receiver.example/jobs"


def teller(store: JobStore) -> Teller:
    return Teller(store, SEALER, view)


async def test_jobs_that_are_asked_for_together_are_told_each_its_own(
    store: JobStore, server: redis.Redis
) -> None:
    plain, hooked = await kept(store, asked(), asked())
    await server.set(layout.hook(hooked), SEALER.seal(URL.encode(), layout.hook_place(hooked)))
    absent = "job_" + "0" * 32
    told = teller(store)
    first, second, third = await asyncio.gather(*map(told.tell, (plain, absent, hooked)))
    assert first is not None
    assert (first.data["job_id"], first.webhook_url) == (plain, None)
    assert second is None
    assert third is not None
    assert (third.data["job_id"], third.webhook_url) == (hooked, URL)


async def test_many_jobs_take_few_readings(store: JobStore, server: redis.Redis) -> None:
    jobs = await kept(store, *(asked() for _ in range(50)))
    told = teller(store)
    await told.tell(jobs[0])
    before = (await server.info("stats"))["total_reads_processed"]
    assert None not in await asyncio.gather(*map(told.tell, jobs))
    after = (await server.info("stats"))["total_reads_processed"]
    assert after - before < 25


async def test_an_address_of_another_key_is_left_out(store: JobStore, server: redis.Redis) -> None:
    (job,) = await kept(store, asked())
    await server.set(layout.hook(job), SEALER.seal(URL.encode(), layout.hook_place("another")))
    told = await teller(store).tell(job)
    assert told is not None
    assert told.webhook_url is None


async def test_a_server_that_is_away_is_said_so() -> None:
    away = redis.Redis(port=1)
    with pytest.raises(TidegateError) as raised:
        await Teller(JobStore(away, JobSettings()), SEALER, view).tell("job_" + "0" * 32)
    assert raised.value.code == "JOBS_UNAVAILABLE"
