"""What the sides of running rollouts did in this process, written to the limits server.

The request path adds to tallies; the reporter has them written twice a second and begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import redis.asyncio as redis

from control_plane.routing import layout
from control_plane.routing.experiment import CONTROL, Seat
from control_plane.routing.judge.fields import Side
from control_plane.routing.judge.tally import Drained, Tally

MAX_FIELDS: Final = 20_000
"""Counts of one arm: 64 groups of some 220 latencies and 50 labels, were all of them seen."""
MAX_FAILING: Final = 10_000
"""Failing subjects of an arm: a verdict needs a few dozen."""

Arm = tuple[str, str, str]
"""Rollout, stage and arm."""


class CountStore:
    """Counts on the limits server, added in one step a hash."""

    def __init__(self, server: redis.Redis) -> None:
        """Take a client of the limits server."""
        self._add = server.register_script(Path(__file__).with_name("add_counts.lua").read_text())

    async def add(self, key: str, counts: Mapping[str, int]) -> None:
        """Add to a hash; it is kept for :data:`layout.KEPT_S` seconds.

        Raises:
            RedisError: If the server does not take it.
        """
        flat = [part for name, count in counts.items() for part in (name, count)]
        await self._add(keys=[key], args=[layout.KEPT_S, MAX_FIELDS, *flat])


class Trials:
    """Tallies of every arm that this process serves."""

    def __init__(self, server: redis.Redis) -> None:
        """Write to the limits server.

        Args:
            server: A client of it.
        """
        self._server = server
        self._counts = CountStore(server)
        self._tallies: dict[Arm, Tally] = {}
        self._pending = 0

    def answered(self, seat: Seat, latency_s: float, label: str | None) -> None:
        """Count a request that a side answered; those outside of the comparison are not.

        Args:
            seat: Of the request's subject.
            latency_s: Time in the queue and in Triton, seconds.
            label: What was predicted, if the model predicts labels.
        """
        if seat.side.arm:
            self._tally(seat).answered(side_of(seat), seat.group, latency_s, label)

    def failed(self, seat: Seat) -> None:
        """Count a request that failed through what the version can be blamed for."""
        if seat.side.arm:
            self._tally(seat).failed(side_of(seat), seat.group, seat.subject)

    @property
    def pending(self) -> int:
        """Counts that wait to be written."""
        return self._pending

    async def write(self) -> None:
        """Write what was counted; see :class:`Source`."""
        drained = [(arm, tally.drain()) for arm, tally in self._tallies.items()]
        self._tallies = {arm: self._tallies[arm] for arm, found in drained if found.counts}
        self._pending = 0
        for arm, found in drained:
            await self._write(arm, found)

    def _tally(self, seat: Seat) -> Tally:
        self._pending += 1
        arm = (seat.side.rollout, seat.side.stage, seat.side.arm)
        tally = self._tallies.get(arm)
        if tally is None:
            tally = self._tallies[arm] = Tally()
        return tally

    async def _write(self, arm: Arm, found: Drained) -> None:
        if not found.counts:
            return
        await self._counts.add(layout.counts(*arm), found.counts)
        for subjects in found.failing.values():
            if subjects:
                key = layout.failed(*arm)
                if await self._server.scard(key) < MAX_FAILING:
                    await self._server.sadd(key, *subjects)
                    await self._server.expire(key, layout.KEPT_S)


def side_of(seat: Seat) -> Side:
    """Which of the two sides that are compared a seat is on."""
    return Side.CONTROL if seat.side.arm == CONTROL else Side.CANDIDATE
