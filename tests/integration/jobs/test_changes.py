"""Hearing of the changes of jobs, and counting streams, on the real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from control_plane.errors import AdmissionUnavailable, TidegateError
from control_plane.idempotency.once import KeptAnswer, Once
from control_plane.jobs import layout
from control_plane.jobs.changes import JobChanges
from control_plane.jobs.streams import Streams
from control_plane.sealing import Sealer
from control_plane.tasks import end

JOB = "job_" + "0" * 32
OTHER = "job_" + "1" * 32
ANSWER = KeptAnswer(200, [(b"content-type", b"application/json")], b"{}")


@pytest.fixture
async def changes(server: redis.Redis) -> AsyncIterator[JobChanges]:
    """Changes that are followed."""
    made = JobChanges(server)
    following = asyncio.create_task(made.follow())
    yield made
    await end([following])


async def wait(event: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        await event.wait()
    event.clear()


async def subscribers(server: redis.Redis, job_id: str) -> int:
    ((_, count),) = await server.pubsub_numsub(layout.change(job_id))
    return int(count)


async def until_heard(server: redis.Redis, job_id: str, count: int) -> None:
    async with asyncio.timeout(20):
        while await subscribers(server, job_id) != count:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def test_who_waits_is_woken_by_changes_of_its_job_alone(
    changes: JobChanges, server: redis.Redis
) -> None:
    with changes.heard(JOB) as one, changes.heard(JOB) as two, changes.heard(OTHER) as other:
        for event in (one, two, other):
            await wait(event)  # the subscription has begun
        await server.publish(layout.change(JOB), "2")
        await wait(one)
        await wait(two)
        await server.publish(layout.change(OTHER), "2")
        await wait(other)
        assert not one.is_set()


async def test_only_jobs_that_somebody_waits_for_are_subscribed(
    changes: JobChanges, server: redis.Redis
) -> None:
    with changes.heard(JOB) as event:
        await wait(event)
        with changes.heard(JOB):
            pass
        assert await subscribers(server, JOB) == 1
    await until_heard(server, JOB, 0)


async def test_a_connection_that_broke_is_made_again_and_tells_of_it(
    changes: JobChanges, server: redis.Redis
) -> None:
    with changes.heard(JOB) as event:
        await wait(event)
        await server.client_kill_filter(_type="pubsub")
        await wait(event)  # something may have been missed
        await until_heard(server, JOB, 1)
        event.clear()
        await server.publish(layout.change(JOB), "3")
        await wait(event)


async def test_streams_are_counted_until_they_close(server: redis.Redis) -> None:
    streams = Streams(server, most=2)
    async with streams.opened("acme") as first, streams.opened("acme"):
        assert await first.renew()
        with pytest.raises(TidegateError, match="2 streams"):
            async with streams.opened("acme"):
                pass
        async with streams.opened("other"):
            pass
    async with streams.opened("acme"):
        pass
    assert await server.zcard("tg:{t:acme}:streams") == 0


async def test_streams_of_a_process_that_died_lapse(server: redis.Redis) -> None:
    seconds, _ = await server.time()
    await server.zadd("tg:{t:acme}:streams", {"dead": (seconds - 1) * 1000})
    await server.zadd("tg:{t:acme}:streams", {"alive": (seconds + 20) * 1000})
    with pytest.raises(TidegateError):
        async with Streams(server, most=1).opened("acme"):
            pass
    async with Streams(server, most=2).opened("acme"):
        assert await server.zscore("tg:{t:acme}:streams", "dead") is None


async def test_a_hold_is_renewed_while_its_request_runs_and_lapses_else(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.idempotency.once.HOLD_S", 1.0)
    monkeypatch.setattr("control_plane.idempotency.once.RENEW_S", 0.1)
    once = Once(server, Sealer("A" * 43))
    began = asyncio.Event()

    async def slow() -> KeptAnswer:
        began.set()
        await asyncio.sleep(2.0)
        return ANSWER

    running = asyncio.create_task(once.answer("acme", "k", "d", slow))
    await began.wait()
    await asyncio.sleep(1.5)
    with pytest.raises(TidegateError) as caught:
        await once.answer("acme", "k", "d", slow)
    assert caught.value.code == "IDEMPOTENCY_IN_PROGRESS"
    assert await running == (ANSWER, False)
    assert await once.answer("acme", "k", "d", slow) == (ANSWER, True)
    await server.set("tg:{t:acme}:once:dead", "run d somebody", px=300)
    await asyncio.sleep(0.4)
    assert (await once.answer("acme", "dead", "d", slow))[1] is False


async def test_a_holder_that_was_late_keeps_nothing(server: redis.Redis) -> None:
    once = Once(server, Sealer("A" * 43))

    async def overtaken() -> KeptAnswer:
        await server.set("tg:{t:acme}:once:k", "run d another")
        return ANSWER

    assert await once.answer("acme", "k", "d", overtaken) == (ANSWER, False)
    assert await server.get("tg:{t:acme}:once:k") == b"run d another"


async def test_of_many_racers_one_runs(server: redis.Redis) -> None:
    ran: list[int] = []
    racers = [Once(server, Sealer("A" * 43)) for _ in range(8)]

    async def race(number: int) -> str:
        async def make() -> KeptAnswer:
            ran.append(number)
            await asyncio.sleep(0.05)
            return ANSWER

        try:
            return "replayed" if (await racers[number].answer("a", "k", "d", make))[1] else "ran"
        except TidegateError as error:
            return error.code

    outcomes = await asyncio.gather(*[race(number) for number in range(8)])
    assert len(ran) == 1
    assert outcomes.count("ran") == 1
    assert set(outcomes) <= {"ran", "replayed", "IDEMPOTENCY_IN_PROGRESS"}


async def test_without_its_server_nothing_runs() -> None:
    async with redis.Redis.from_url("redis://127.0.0.1:1") as away:

        async def never() -> KeptAnswer:
            raise AssertionError

        with pytest.raises(AdmissionUnavailable):
            await Once(away, Sealer("A" * 43)).answer("acme", "k", "d", never)
        with pytest.raises(AdmissionUnavailable):
            async with Streams(away, most=1).opened("acme"):
                pass
