"""Workers that are killed, stopped or told to end, with jobs in hand."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterable

import psutil

from control_plane.jobs.shapes import State
from tests.integration.admission.conftest import free_port
from tests.integration.jobs.workers import Queue, processes, unique, working
from tests.integration.local.processes import kill
from tests.integration.test_cancellation import Journal

LEASE = {"jobs_lease_s": "1"}


async def started(journal: Journal, labels: Iterable[str]) -> None:
    for label in labels:
        assert await asyncio.to_thread(journal.waits_for, "started", label)


async def test_another_worker_finishes_what_a_killed_one_held(
    queue: Queue, journal: Journal
) -> None:
    long, quick = unique(), [unique() for _ in range(5)]
    with working(queue, 2, **LEASE) as run:
        slow = await queue.submit("sleeper", {"ms": 2500, "label": long, "poll": True})
        await started(journal, [long])
        others = [
            await queue.submit("sleeper", {"ms": 10, "label": label, "poll": True})
            for label in quick
        ]
        holder = await _holder(queue, run.pid, slow)
        kill(holder.pid)
        ends = [await queue.ended(job) for job in [slow, *others]]
        assert {end.state for end in ends} == {State.COMPLETED}
        assert ends[0].attempts == 2


async def test_what_a_worker_says_after_its_lease_is_refused(
    queue: Queue, journal: Journal
) -> None:
    label = unique()
    with working(queue, 2, **LEASE) as run:
        job = await queue.submit("sleeper", {"ms": 700, "label": label, "poll": False}, units=3)
        await started(journal, [label])
        holder = await _holder(queue, run.pid, job)
        holder.send_signal(signal.SIGSTOP)
        try:
            ended = await queue.ended(job)
        finally:
            holder.send_signal(signal.SIGCONT)
        assert (ended.state, ended.attempts) == (State.COMPLETED, 2)
        # It goes on, tells an end of its own, and then works on others as before.
        run_on = [await queue.submit("picky", {"text": "a" * length}) for length in range(1, 21)]
        for each in run_on:
            assert (await queue.ended(each)).state is State.COMPLETED
        assert await queue.store.find(job) == ended


async def test_a_stop_lets_jobs_finish_and_hands_back_what_does_not(
    queue: Queue, journal: Journal
) -> None:
    short, long = unique(), unique()
    settings = {"jobs_grace_s": "2", "jobs_lease_s": "30"}
    with working(queue, **settings) as run:
        first = await queue.submit("sleeper", {"ms": 800, "label": short, "poll": True})
        await started(journal, [short])
        second = await queue.submit("sleeper", {"ms": 20_000, "label": long, "poll": True})
        await queue.reaches(second, State.PROCESSING)
        run.signal(signal.SIGTERM)
        assert await asyncio.to_thread(run.wait) == 0
    assert (await queue.store.find(first)).state is State.COMPLETED
    left = await queue.store.find(second)
    assert (left.state, left.attempts) == (State.PROCESSING, 0)
    assert journal.waits_for("cancelled", long)
    with working(queue, **settings):
        taken = await queue.becomes(second, lambda job: job.attempts == 1)
        assert taken.state is State.PROCESSING
        await queue.store.cancel("acme", second)


async def test_ends_outlive_a_pause_of_the_server(queue: Queue, journal: Journal) -> None:
    """The server answers nobody while the job ends, for longer than the lease."""
    label = unique()
    with working(queue, **LEASE):
        job = await queue.submit("sleeper", {"ms": 600, "label": label, "poll": True})
        await started(journal, [label])
        await queue.server.execute_command("CLIENT", "PAUSE", 2500, "ALL")
        await asyncio.sleep(2.5)
        ended = await queue.ended(job)
    assert ended.state is State.COMPLETED
    assert await queue.result(job)


async def test_while_no_triton_is_there_jobs_wait_and_lose_no_attempt(queue: Queue) -> None:
    port = free_port()
    target, queue.triton = queue.triton, f"127.0.0.1:{port}"
    with working(queue) as run:
        job = await queue.submit("picky", {"text": "x"})
        await asyncio.sleep(1.5)
        waiting = await queue.store.find(job)
        assert (waiting.state, waiting.attempts) == (State.PENDING, 0), run.log()
        async with forwarded(port, target):
            ended = await queue.ended(job)
    assert (ended.state, ended.attempts) == (State.COMPLETED, 1)


async def test_a_worker_is_small(queue: Queue) -> None:
    with working(queue) as run:
        jobs = [await queue.submit("picky", {"text": "x"}) for _ in range(50)]
        for job in jobs:
            await queue.ended(job)
        (worker,) = processes(run)
        assert worker.memory_info().rss < 250 * 2**20


@contextlib.asynccontextmanager
async def forwarded(port: int, target: str) -> AsyncIterator[None]:
    """Connections to a port go to another address."""
    host, _, number = target.rpartition(":")

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near, far = await asyncio.open_connection(host, int(number))
        await asyncio.gather(pump(reader, far), pump(near, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def _holder(queue: Queue, supervisor: int, job: str) -> psutil.Process:
    """The process that holds a job: its id begins the worker's name."""
    name = await queue.server.hget(f"tg:{{jobs}}:job:{job}", "worker")
    assert name is not None
    found = psutil.Process(int(name.decode().partition("-")[0]))
    assert found.ppid() == supervisor
    return found
