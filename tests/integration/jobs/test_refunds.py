"""Units that go back for jobs: once, to the day and the month that paid, whatever is killed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.admission import layout
from control_plane.admission.limits.refunds import Refunder
from control_plane.jobs.identifiers import job_id

STREAM = "tg:{jobs}:refunds"
TENANT, CLIENT, MODEL, VERSION = "acme", "k:abcdefghij27", "picky", "v1.0.0"
STATE = layout.state(f"t:{TENANT}")
NOW = time.time()
MONTH_AGO = NOW - 32 * 86_400


class Dying(redis.Redis):
    """A client whose process dies at one of its calls: before it is sent, or before its reply."""

    calls: int
    is_sent: bool

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        self.calls -= 1
        if self.calls < 0 and not self.is_sent:
            raise RedisError
        answer = await super().execute_command(*arguments, **options)
        if self.calls < 0:
            raise RedisError
        return answer


def hour(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H")


async def paid(server: Any, seconds: float, units: int) -> str:
    """A job that was paid at some time; its id."""
    of = hour(seconds)
    row = f"{of[8:]}|{CLIENT}|{MODEL}|{VERSION}|u"
    await server.hincrby(layout.usage(f"t:{TENANT}", of[:8]), row, units)
    return job_id(seconds)


async def owe(server: Any, job: str, units: int) -> None:
    fields = {"job": job, "tenant": TENANT, "client": CLIENT, "model": MODEL,
              "version": VERSION, "units": units}  # fmt: skip
    await server.xadd(STREAM, fields)


async def used(server: Any, seconds: float) -> int:
    of = hour(seconds)
    row = f"{of[8:]}|{CLIENT}|{MODEL}|{VERSION}|u"
    return int(await server.hget(layout.usage(f"t:{TENANT}", of[:8]), row) or 0)


async def standing(server: Any) -> dict[str, int]:
    found = await server.hgetall(STATE)
    return {name.decode(): int(value) for name, value in found.items()}


async def test_units_go_back_to_the_hour_the_day_and_the_month_that_paid(
    server: redis.Redis,
) -> None:
    told: list[int] = []
    of, then = hour(NOW), hour(MONTH_AGO)
    await server.hset(STATE, mapping={"day": of[:8], "du": 10, "month": of[:6], "mu": 100,
                                      f"m:{then[:6]}": 50})  # fmt: skip
    await owe(server, await paid(server, NOW, 10), 4)
    await owe(server, await paid(server, MONTH_AGO, 50), 20)
    await Refunder(server, server, STREAM, told.append).round()
    assert await used(server, NOW) == 6
    assert await used(server, MONTH_AGO) == 30
    left = await standing(server)
    assert (left["du"], left["mu"], left[f"m:{then[:6]}"]) == (6, 96, 30)
    assert sorted(told) == [4, 20]
    assert await server.xlen(STREAM) == 0


async def test_what_is_told_again_goes_back_once(server: redis.Redis) -> None:
    told: list[int] = []
    job = await paid(server, NOW, 10)
    for _ in range(3):
        await owe(server, job, 4)
    await Refunder(server, server, STREAM, told.append).round()
    await owe(server, job, 4)
    await asyncio.gather(*[Refunder(server, server, STREAM, told.append).round() for _ in range(3)])
    assert told == [4]
    assert await used(server, NOW) == 6


async def test_quotas_never_go_below_zero(server: redis.Redis) -> None:
    of = hour(NOW)
    await server.hset(STATE, mapping={"day": of[:8], "du": 1, "month": of[:6], "mu": 2})
    await owe(server, await paid(server, NOW, 5), 5)
    await Refunder(server, server, STREAM, lambda _: None).round()
    left = await standing(server)
    assert (left["du"], left["mu"]) == (0, 0)


async def test_an_entry_that_cannot_be_read_holds_up_no_other(server: redis.Redis) -> None:
    await server.xadd(STREAM, {"job": "job_none", "tenant": TENANT})
    await server.xadd(STREAM, {"nothing": "at all"})
    await owe(server, await paid(server, NOW, 5), 5)
    await Refunder(server, server, STREAM, lambda _: None).round()
    assert (await used(server, NOW), await server.xlen(STREAM)) == (0, 0)


@pytest.mark.parametrize("is_sent", [False, True])
async def test_killed_at_any_point_it_refunds_each_job_once(
    server: redis.Redis, jobs_url: str, *, is_sent: bool
) -> None:
    jobs = [await paid(server, NOW, 10) for _ in range(5)]
    for job in jobs:
        await owe(server, job, 3)
    deaths = 0
    for calls in range(30):
        async with Dying.from_url(jobs_url) as dying:
            dying.calls, dying.is_sent = calls, is_sent
            try:
                await Refunder(dying, dying, STREAM, lambda _: None).round()
            except RedisError:
                deaths += 1
        await server.delete(layout.REFUNDER)
    assert deaths >= 3
    assert await used(server, NOW) == 5 * 7
    assert await server.xlen(STREAM) == 0
