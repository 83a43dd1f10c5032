"""The store of jobs on real servers: what is told, to whom, and what a lost answer does."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id
from control_plane.jobs.replies import Beat, Kept, Submitted
from control_plane.jobs.shapes import Priority, Size, State
from control_plane.jobs.store import JobStore
from control_plane.setting_groups import JobSettings
from tests.integration.admission.conftest import counter_process, free_port
from tests.integration.jobs.submissions import asked, code_of, done, failed, hold, kept, take

SOON_MS = 20


async def heard(pubsub: redis.client.PubSub, *channels: str) -> None:
    await pubsub.subscribe(*channels)
    for _ in channels:
        assert await pubsub.get_message(timeout=5)


async def next_of(pubsub: redis.client.PubSub) -> tuple[str, str]:
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message is not None
    return message["channel"].decode(), message["data"].decode()


async def test_a_job_from_submission_to_its_end(store: JobStore) -> None:
    [name] = await kept(store, asked(units=5))
    pending = await store.read("acme", name)
    assert (pending.state, pending.attempts, pending.revision) == (State.PENDING, 0, 1)
    assert pending.created_ms > 0
    assert pending.ended_ms == 0
    [claim] = await take(store)
    assert (claim.job.id, claim.fence, claim.spec) == (name, 1, "sealed")
    assert (claim.job.state, claim.job.attempts) == (State.PROCESSING, 1)
    assert await store.beat([Beat(hold(claim), 40)]) == [True]
    assert (await store.find(name)).progress == 40
    assert await store.finish([done(claim, object_key="a/b\nc")]) == [True]
    ended = await store.read("acme", name)
    assert (ended.state, ended.progress, ended.refunded) == (State.COMPLETED, 100, 0)
    assert ended.kept_until_ms == ended.ended_ms + 86_400_000
    assert ended.ended_ms >= ended.started_ms >= ended.created_ms
    assert await store.result(name) == Kept("sealed", "a/b\nc")
    assert await code_of(store.spec(name)) == "NOT_FOUND"


async def test_others_jobs_are_not_there(store: JobStore) -> None:
    [name] = await kept(store, asked())
    for step in (store.read("bolt", name), store.cancel("bolt", name), store.find("job_x"),
                 store.find(job_id(1.0)), store.cancel("", "x" * 500)):  # fmt: skip
        assert await code_of(step) == "NOT_FOUND"
    assert (await store.find(name)).state is State.PENDING


async def test_what_each_change_publishes(store: JobStore, server: redis.Redis) -> None:
    submission = asked()
    async with server.pubsub() as pubsub:
        change = layout.change(submission.id)
        await heard(pubsub, layout.WAKE, layout.STOPS, change)
        await kept(store, submission)
        assert await next_of(pubsub) == (layout.WAKE, "short")
        [claim] = await take(store)
        assert await next_of(pubsub) == (change, "2")
        await store.beat([Beat(hold(claim), 7)])
        assert await next_of(pubsub) == (change, "3")
        await store.beat([Beat(hold(claim), 7)])
        await store.hand_back([hold(claim)])
        assert await next_of(pubsub) == (layout.WAKE, "short")
        await take(store)
        assert await next_of(pubsub) == (change, "4")
        await store.cancel("acme", submission.id)
        assert await next_of(pubsub) == (layout.STOPS, submission.id)
        assert await next_of(pubsub) == (change, "5")


async def test_one_key_makes_one_job(store: JobStore) -> None:
    first, same, other = (asked(key="k", digest=digest) for digest in ("d", "d", "e"))
    elsewhere = asked("bolt", key="k", digest="e")
    replies = await store.submit([first, same, other, elsewhere])
    assert replies[:2] == [Submitted(first.id), Submitted(first.id, replayed=True)]
    assert isinstance(replies[2], TidegateError)
    assert replies[2].code == "IDEMPOTENCY_CONFLICT"
    assert replies[3] == Submitted(elsewhere.id)
    assert await store.submit([first]) == [Submitted(first.id)]


async def test_a_tenant_has_so_many_open_jobs(server: redis.Redis) -> None:
    store = JobStore(server, JobSettings(pending_per_tenant=2))
    replies = await store.submit([asked(), asked(), asked(), asked("bolt")])
    assert [isinstance(reply, Submitted) for reply in replies] == [True, True, False, True]
    refused = replies[2]
    assert isinstance(refused, TidegateError)
    assert (refused.code, refused.details) == ("TOO_MANY_JOBS", {"limit": 2})
    [claim] = await take(store)
    assert await code_of_submission(store) == "TOO_MANY_JOBS"
    await store.finish([done(claim)])
    await kept(store, asked())


async def code_of_submission(store: JobStore) -> str:
    [reply] = await store.submit([asked()])
    return reply.code if isinstance(reply, TidegateError) else "taken"


async def test_more_than_one_call_takes_is_taken_in_parts(store: JobStore) -> None:
    many = [asked(spec="x" * 40_000) for _ in range(450)]
    assert await store.submit(many) == [Submitted(each.id) for each in many]
    claims = await take(store, 200) + await take(store, 200) + await take(store, 200)
    assert [claim.job.id for claim in claims] == [each.id for each in many]
    assert await store.finish([done(claim) for claim in claims]) == [True] * 450


async def test_workers_at_once_share_no_job(store: JobStore) -> None:
    names = await kept(store, *[asked(f"t{n % 7}") for n in range(300)])

    async def work(worker: int) -> list[str]:
        mine = []
        while claims := await store.claim(f"w{worker}", Size.SHORT, 9):
            mine += [claim.job.id for claim in claims]
            ends = [store.finish([done(claim)]) for claim in claims]
            cancels = [_either(store, claim.job.id) for claim in claims[::3]]
            await asyncio.gather(*ends, *cancels)
        return mine

    parts = await asyncio.gather(*(work(worker) for worker in range(6)))
    assert Counter(name for part in parts for name in part) == Counter(names)
    ended = Counter([(await store.find(name)).state for name in names])
    assert ended[State.COMPLETED] + ended[State.CANCELED] == len(names)
    told = [entry[b"job"].decode() for _, entry in await store._steps.server.xrange(layout.OUTBOX)]
    assert Counter(told) == Counter(names)
    assert (await store.depth()).running == 0


async def _either(store: JobStore, name: str) -> None:
    """Cancel a job that may have ended first."""
    with suppress(TidegateError):
        assert (await store.cancel("", name)).state is State.CANCELED


async def test_the_time_of_a_lease_is_kept(server: redis.Redis) -> None:
    store = JobStore(server, JobSettings(lease_s=1))
    await kept(store, asked())
    [claim] = await take(store)
    for _ in range(4):
        await asyncio.sleep(0.4)
        assert await store.beat([Beat(hold(claim))]) == [True]
        assert (await store.sweep()).lost == 0
    await asyncio.sleep(1.1)
    assert (await store.sweep()).lost == 1
    assert await store.beat([Beat(hold(claim))]) == [False]
    assert await store.finish([done(claim)]) == [False]


async def test_delays_and_expiries_are_by_the_servers_clock(store: JobStore) -> None:
    now = 1000 * (await store._steps.server.time())[0]
    later = asked(start_at_ms=now + 1500)
    brief = asked(cancel_after_ms=SOON_MS, units=7)
    await kept(store, later, brief, asked(cancel_after_ms=60_000))
    assert later.id not in [claim.job.id for claim in await take(store, 1)]
    await asyncio.sleep(0.1)
    assert (await store.sweep()).expired == 1
    expired = await store.find(brief.id)
    assert (expired.state, expired.refunded) == (State.EXPIRED, 7)
    await asyncio.sleep(2)
    assert later.id in [claim.job.id for claim in await take(store, 3)]


async def test_who_loses_two_workers_runs_alone_among_its_like(server: redis.Redis) -> None:
    store = JobStore(server, JobSettings(attempts=9))
    names = await kept(store, asked(), asked(), asked())
    for _ in range(2):
        assert len(await take(store, 9)) == 3
        await _lapse(server, store, names)
    fresh = await kept(store, asked())
    first = await take(store, 9)
    assert [claim.job.id for claim in first] == [names[0], *fresh]
    assert await take(store, 9) == []
    assert (await store.depth()).suspects == {Size.SHORT: 2, Size.LONG: 0}
    await store.finish([done(first[0])])
    assert [claim.job.id for claim in await take(store, 9)] == [names[1]]
    await _lapse(server, store, [names[1]])
    assert [claim.job.id for claim in await take(store, 9)] == [names[1]]
    await store.cancel("acme", names[1])
    assert [claim.job.id for claim in await take(store, 9)] == [names[2]]


async def _lapse(server: redis.Redis, store: JobStore, names: list[str]) -> None:
    await server.zadd(layout.LEASES, dict.fromkeys(names, 0), xx=True)
    await store.sweep()
    await server.zadd(layout.DELAYED, dict.fromkeys(names, 0), xx=True)
    await store.sweep()


async def test_a_job_that_ends_its_workers_is_a_dead_letter(
    server: redis.Redis, store: JobStore
) -> None:
    [name] = await kept(store, asked(units=9))
    for attempt in range(1, 5):
        [claim] = await take(store)
        assert claim.job.attempts == attempt
        await _lapse(server, store, [name])
    job = await store.find(name)
    assert (job.state, job.error_code, job.refunded) == (State.FAILED, "WORKER_LOST", 9)
    assert await store.result(name) is None
    assert await store.spec(name) == "sealed"
    assert [dead.id for dead in (await store.dead(None, 5)).items] == [name]


async def test_a_plain_failure_is_no_dead_letter(store: JobStore) -> None:
    await kept(store, asked())
    [claim] = await take(store)
    assert await store.finish([failed(claim)]) == [True]
    assert (await store.dead(None, 5)).items == []


async def test_depth_says_what_lies_where(store: JobStore) -> None:
    await kept(store, asked(), asked(size=Size.LONG, priority=Priority.HIGH), asked(),
               asked(start_at_ms=32_503_680_000_000))  # fmt: skip
    [claim] = await take(store)
    await store.finish([failed(claim)])
    await take(store)
    depth = await store.depth()
    assert {line: count for line, count in depth.waiting.items() if count} == {
        (Size.LONG, Priority.HIGH): 1
    }
    assert (depth.delayed, depth.running, depth.kept, depth.dead) == (1, 1, 1, 0)
    assert (depth.outbox, depth.refunds) == (1, 1)


async def test_a_full_server_takes_no_job_and_records_ends(
    server: redis.Redis, store: JobStore
) -> None:
    names = await kept(store, *[asked() for _ in range(6)])
    claims = await take(store, 3)
    await server.config_set("maxmemory", "1mb")
    try:
        before = await server.dbsize()
        assert await code_of(store.submit([asked()])) == "JOBS_UNAVAILABLE"
        assert await server.dbsize() == before
        assert await store.finish([done(claims[0])]) == [True]
        assert await store.retry(hold(claims[1]), failed(claims[1]), 0)
        assert await store.hand_back([hold(claims[2])]) == 1
        assert (await store.cancel("acme", names[5])).state is State.CANCELED
        assert len(await take(store, 9)) == 4
        assert await store.sweep()
    finally:
        await server.config_set("maxmemory", "0")
    await kept(store, asked())


async def test_a_server_that_is_away_is_told_at_once_and_used_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    client = redis.Redis(port=port, socket_timeout=2, retry=Retry(NoBackoff(), 0))
    async with client:
        store = JobStore(client, JobSettings(durability="relaxed"))
        assert await code_of(store.submit([asked()])) == "JOBS_UNAVAILABLE"
        with counter_process("valkey", tmp_path, port):
            await client.config_set("appendonly", "yes")
            await kept(store, asked())
            await take(store)
        for step in (store.submit([asked()]), store.claim("w", Size.SHORT, 1), store.sweep(),
                     store.find(job_id(1.0)), store.depth()):  # fmt: skip
            assert await code_of(step) == "JOBS_UNAVAILABLE"
        with counter_process("valkey", tmp_path, port):
            assert await code_of(store.submit([asked()])) == "JOBS_UNAVAILABLE"
            await client.config_set("appendonly", "yes")
            await kept(store, asked())
