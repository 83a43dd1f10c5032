"""Workers that stop in the middle and speak up when their jobs are not theirs any more.

A process that is stopped past its lease does so by chance; a straggler does so every time, and
what it says is wrong, so that a stale write that is believed shows in the result, too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import redis.asyncio as redis

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.shapes import Claim, End, Hold, Size, State
from control_plane.jobs.store import Beat, JobStore
from control_plane.sealing import Sealer
from control_plane.settings import Settings
from tests.chaos.seen import Seen

NAME: Final = "straggler"
LOOK_S: Final = 0.03
TAKES: Final = 3
STEP_S: Final = 1.0
STRIKES: Final = 40
"""Wrong words at most about one hold, all of them stale."""
GIVEN_UP_S: Final = 30.0


class Straggler:
    """Takes jobs, gives no sign of life, and strikes once each has moved on."""

    def __init__(self, settings: Settings, seen: Seen) -> None:
        """Speak to the system of record as a worker does.

        Args:
            settings: Of the workers.
            seen: Takes what became of the strikes.
        """
        self._server = redis.Redis.from_url(settings.redis_url)
        self._store = JobStore(self._server, settings.jobs)
        self._sealer = Sealer(settings.data_key)
        self._seen = seen
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seed: int, every_s: float) -> None:
        """Take jobs now and then until cancelled.

        Args:
            seed: Of the moments.
            every_s: Seconds between two, about.
        """
        source = random.Random(f"stragglers {seed}")
        while True:
            await asyncio.sleep(every_s * source.uniform(0.5, 1.5))
            for claim in await self._taken():
                task = asyncio.create_task(self._haunt(claim))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _taken(self) -> list[Claim]:
        """Jobs, as soon as some can be taken and no worker is faster."""
        try:
            async with self._server.pubsub() as words:
                await words.subscribe(layout.WAKE)
                while True:
                    word = await words.get_message(ignore_subscribe_messages=True, timeout=STEP_S)
                    size = Size(word["data"].decode()) if word else Size.SHORT
                    if claims := await self._store.claim(NAME, size, TAKES):
                        return claims
        except (TidegateError, redis.RedisError, OSError):
            return []

    async def rest(self) -> None:
        """Wait for those that still strike, and close."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.aclose()

    async def _haunt(self, claim: Claim) -> None:
        """Strike while the job waits, while another works on it, and after its end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GIVEN_UP_S
        hold = Hold(claim.job.id, claim.fence)
        places: set[str] = set()
        strikes = 0
        while loop.time() < until and strikes < STRIKES and "ended" not in places:
            await asyncio.sleep(LOOK_S)
            place = await self._moved_on(hold)
            if place is not None and (place == "leases" or place not in places):
                places.add(place)
                strikes += 1
                await self._strike(hold, place)

    async def _moved_on(self, hold: Hold) -> str | None:
        """Where a job lies that is not held any more: a place, or ``ended``; None if it is held."""
        try:
            async with asyncio.timeout(1):
                fence, place, ended = await self._server.hmget(
                    layout.job(hold.id), "fence", "place", "ended"
                )
        except (redis.RedisError, OSError, TimeoutError):
            return None
        if ended is not None:
            return "ended"
        if fence is None or int(fence) == hold.fence:
            return None
        return str(place.decode())

    async def _strike(self, hold: Hold, place: str) -> None:
        wrong = self._sealer.seal(
            msgspec.json.encode({"prediction": -1, "by": NAME}), layout.result_place(hold.id)
        )
        end = End(hold=hold, state=State.COMPLETED, result=wrong)

        async def beaten() -> bool:
            return (await self._store.beat([Beat(hold, 99)]))[0]

        async def finished() -> bool:
            return (await self._store.finish([end]))[0]

        async def retried() -> bool:
            return await self._store.retry(hold, end, 0)

        async def handed_back() -> bool:
            return bool(await self._store.hand_back([hold]))

        for name, strike in (("beat", beaten), ("finish", finished), ("retry", retried),
                             ("hand back", handed_back)):  # fmt: skip
            await self._once(f"{name}, {_where(place)}", strike)

    async def _once(self, what: str, strike: Callable[[], Awaitable[bool]]) -> None:
        try:
            accepted = await strike()
        except TidegateError:
            return
        self._seen.struck(what, accepted=accepted)


def _where(place: str) -> str:
    return {"leases": "another works on it", "ended": "it has ended"}.get(place, "it waits")
