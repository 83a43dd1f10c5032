"""One run: jobs under blows, then quiet, then everything is read twice."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis
from msgspec import Struct, structs

from control_plane.jobs.layout import PREFIX
from control_plane.jobs.store import JobStore
from control_plane.tasks import end
from tests.chaos.audit import ENDS
from tests.chaos.blows import Blows
from tests.chaos.clients import Clients
from tests.chaos.house import WORKERS, House, opened
from tests.chaos.plan import TENANTS, Errand, blows, errands
from tests.chaos.receiver import Receiver
from tests.chaos.seen import Seen
from tests.chaos.stragglers import Straggler

PAUSE_S: Final = 0.5
READERS: Final = 16
STRAGGLERS: Final = 14
"""How often a worker falls behind in a run."""
TOLD_S: Final = 75.0
"""Without a webhook after which none is awaited any more: what a dispatcher that was killed had
taken up is taken up again half a minute later."""
MAY_STAY: Final = ("job:", "result:", "idem:", "of:", "models:", "kept", "dead", "served", "turn:")
"""What the store keeps of jobs that have ended, and its counters of turns."""
EVENTS: Final = ["job.completed", "job.failed", "job.canceled", "job.expired"]


class Order(Struct, frozen=True, kw_only=True):
    """What is to be run.

    Attributes:
        folder: Takes the files of the run.
        triton: Address of a Triton with the models.
        models: Its repository.
        seed: Of the plan.
        jobs: How many are asked for.
        seconds: Over how long.
        patience_s: Seconds without any end after which what is open counts as open for ever.
        durable: True if the system of record keeps what it answered.
    """

    folder: Path
    triton: str
    models: Path
    seed: int
    jobs: int
    seconds: float
    patience_s: float
    durable: bool = True


async def carried_out(order: Order) -> tuple[Seen, House]:
    """Make a run; the house has fallen by then."""
    seen = Seen()
    async with opened(order.folder, order.triton, order.models, durable=order.durable) as house:
        clients = Clients(house.url, house.keys, seen)
        receiver = Receiver(seen)
        async with clients.http, receiver.listening():
            await _subscribe(clients, receiver)
            await _under_blows(order, house, clients, seen)
            _say("the blows are over")
            await _quiet(clients, seen, order.patience_s)
            _say("nothing moves any more")
            await _read_all(clients, house, seen, seen.at_the_end)
            seen.left += await _left(house)
            await _read_all(clients, house, seen, seen.again)
    return seen, house


async def _subscribe(clients: Clients, receiver: Receiver) -> None:
    for tenant in TENANTS:
        body = {"url": receiver.url(tenant), "events": EVENTS}
        made = await clients.until_answered(tenant, "POST", "/webhooks", json=body)
        assert made.status_code == 201, made.text
        receiver.secrets[tenant] = made.json()["secret"]["secret"]


async def _under_blows(order: Order, house: House, clients: Clients, seen: Seen) -> None:
    wanted: list[Errand] = errands(order.seed, order.jobs)
    striking, straggler = Blows(house, clients, seen), Straggler(house.settings, seen)
    _say("the blows begin")
    async with _beside(
        striking.run(blows(order.seed, WORKERS)),
        straggler.run(order.seed, order.seconds / STRAGGLERS),
        clients.watch(order.seed),
    ):
        await clients.run(wanted, order.seconds / order.jobs)
    await striking.rest()
    await straggler.rest()


@contextlib.asynccontextmanager
async def _beside(*steps: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the context; what fails there fails the run."""
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await end(tasks)


async def _quiet(clients: Clients, seen: Seen, patience_s: float) -> None:
    """Wait until every job has ended and is told of, or nothing has moved for a while."""

    async def open_jobs() -> int:
        states: dict[str, str] = {}
        for tenant in TENANTS:
            states |= await clients.list(tenant)
        seen.listed = set(states)
        return sum(states.get(job) not in ENDS for job in seen.jobs)

    async def untold() -> int:
        return len(seen.jobs.keys() - {event.job for event in seen.events})

    if await _none_left(open_jobs, patience_s):
        await _none_left(untold, TOLD_S)


async def _none_left(count: Callable[[], Awaitable[int]], patience_s: float) -> bool:
    """Wait until none is left; False once there are no fewer than some time ago."""
    fewest, since = sys.maxsize, time.monotonic()
    while time.monotonic() < since + patience_s:
        left = await count()
        if not left:
            return True
        if left < fewest:
            fewest, since = left, time.monotonic()
        await asyncio.sleep(PAUSE_S)
    return False


async def _read_all(clients: Clients, house: House, seen: Seen, into: dict[str, Any]) -> None:
    names = iter(list(seen.jobs))
    async with redis.Redis.from_url(house.records.url) as server:
        store = JobStore(server, house.settings.jobs)

        async def reader() -> None:
            for job in names:
                sample = await clients.read(job)
                if sample is not None:
                    revision = (await store.find(job)).revision
                    into[job] = structs.replace(sample, revision=revision)

        await asyncio.gather(*(reader() for _ in range(READERS)))


async def _left(house: House) -> list[str]:
    """What the store should not have any more once every job has ended."""

    async def look() -> list[str]:
        async with redis.Redis.from_url(house.records.url) as server:
            return [told async for told in _leftovers(server)]

    return await _until_empty(look)


async def _until_empty(look: Callable[[], Awaitable[list[str]]], within_s: float = 15) -> list[str]:
    """What is still found after a while; refunds and outbox are read a moment later."""
    until = time.monotonic() + within_s
    while True:
        found = await look()
        if not found or time.monotonic() >= until:
            return found
        await asyncio.sleep(PAUSE_S)


async def _leftovers(server: Any) -> AsyncIterator[str]:
    async for key in server.scan_iter(match=f"{PREFIX}*", count=1000):
        name = key.decode().removeprefix(PREFIX)
        if name.startswith(MAY_STAY):
            continue
        if name in {"outbox", "refunds"}:
            if count := await server.xlen(key):
                yield f"{name}: {count} entries"
        elif name.startswith("spec:"):
            if await server.hget(f"{PREFIX}job:{name[5:]}", "state") != b"failed":
                yield f"{name} of a job that did not fail"
        elif name == "waiting":
            counts = await server.hgetall(key)
            if any(int(count) for count in counts.values()):
                yield f"{name}: {counts}"
        else:
            yield f"{name} ({(await server.type(key)).decode()})"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
