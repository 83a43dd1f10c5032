"""Carries the blows out, and times how long the jobs of a killed worker lie."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import redis.asyncio as redis
from msgspec import Struct

from control_plane.jobs import layout
from tests.chaos.clients import Clients
from tests.chaos.house import LEASE_S, House
from tests.chaos.plan import Aim, Blow
from tests.chaos.seen import Recovery, Seen

PAUSED_S: Final = LEASE_S + 1.5
"""Long enough for another worker to have the jobs."""
LOOK_S: Final = 0.05
WATCHED_S: Final = 60.0
STEP_S: Final = 1.0
SPARED: Final = "spared, as it had not come up"


class _Left(Struct, frozen=True):
    """A job that was in the hands of a killed worker.

    Attributes:
        job: Its id.
        attempts: How often it was taken.
        is_first: True if it was lost with no worker before.
    """

    job: str
    attempts: int
    is_first: bool


class Blows:
    """Strikes a house.

    What has not begun to do its work since the blow before is spared, or a slow machine would do
    nothing but start processes.
    """

    def __init__(self, house: House, clients: Clients, seen: Seen) -> None:
        """Aim.

        Args:
            house: What is struck.
            clients: Know whether the door answers.
            seen: Takes what was struck, and the recoveries.
        """
        self._house = house
        self._clients = clients
        self._seen = seen
        self._server: Any = redis.Redis.from_url(house.records.url)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, blows: Iterator[Blow]) -> None:
        """Strike as planned until cancelled; one that is late does not shift the others."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for blow in blows:
            await asyncio.sleep(begun + blow.at_s - loop.time())
            self._do(self._strike(blow))

    async def rest(self) -> None:
        """Wait for what is still watched, and close."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.aclose()

    def _do(self, step: Any) -> None:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _strike(self, blow: Blow) -> None:
        worker = f"worker-{blow.which}"
        if self._is_spared(blow.aim, worker):
            self._seen.blows[SPARED] += 1
            return
        match blow.aim:
            case Aim.WORKER:
                pid = self._house.pids[worker]
                killed = await self._house.kill(worker)
                self._do(self._watch(pid, killed))
            case Aim.PAUSE:
                pid = self._house.stop(worker)
                await asyncio.sleep(PAUSED_S)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            case Aim.RECORDS:
                self._house.records.kill()
            case Aim.HTTP:
                await self._house.kill("http")
        self._seen.blows[blow.aim] += 1

    def _is_spared(self, aim: Aim, worker: str) -> bool:
        if aim in {Aim.WORKER, Aim.PAUSE}:
            return not self._house.works(worker)
        return aim is Aim.HTTP and self._clients.answered < self._house.started["http"]

    async def _watch(self, pid: int, killed: float) -> None:
        """Time the jobs of a killed worker until each is taken again; one that ends is left out."""
        left: list[_Left] = await self._read(partial(self._left_by, pid)) or []
        while left and time.monotonic() < killed + WATCHED_S:
            await asyncio.sleep(LOOK_S)
            taken = await self._read(partial(self._now, [each.job for each in left]))
            if taken is None:
                continue
            seconds = time.monotonic() - killed
            waiting = []
            for each in left:
                attempts, has_ended = taken[each.job]
                if attempts > each.attempts:
                    self._seen.recoveries.append(Recovery(each.job, seconds, each.is_first))
                elif not has_ended:
                    waiting.append(each)
            left = waiting
        self._seen.recoveries.extend(Recovery(each.job, WATCHED_S, each.is_first) for each in left)

    async def _read(self, step: Any) -> Any:
        """What a step reads; None if the server stays away for the time of a lease."""
        end = time.monotonic() + LEASE_S
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(STEP_S):
                    return await step()
            except (redis.RedisError, OSError, TimeoutError):
                await asyncio.sleep(LOOK_S)
        return None

    async def _left_by(self, pid: int) -> list[_Left]:
        names = [name.decode() for name in await self._server.zrange(layout.LEASES, 0, -1)]
        async with self._server.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(layout.job(name), "worker", "attempts", "lost")
            rows = await pipe.execute()
        return [
            _Left(name, int(attempts), is_first=not int(lost or 0))
            for name, (worker, attempts, lost) in zip(names, rows, strict=True)
            if worker is not None and worker.startswith(f"{pid}-".encode())
        ]

    async def _now(self, names: list[str]) -> dict[str, tuple[int, bool]]:
        """How often each was taken, and whether it has ended."""
        async with self._server.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(layout.job(name), "attempts", "ended")
            rows = await pipe.execute()
        return {
            name: (int(attempts or 0), ended is not None)
            for name, (attempts, ended) in zip(names, rows, strict=True)
        }
