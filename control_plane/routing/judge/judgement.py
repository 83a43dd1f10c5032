"""What the judge goes by and what it last said, on the limits server."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Any, Final, cast

import msgspec
import redis.asyncio as redis
from msgspec import Meta, Struct

from control_plane.routing import layout
from control_plane.routing.experiment import CONTROL
from control_plane.routing.judge.evidence import Arm, Evidence
from control_plane.routing.judge.fields import Side
from control_plane.routing.judge.verdict import Verdict
from control_plane.routing.state import Rollout

VERDICT_S: Final = 604_800
"""Seconds that the latest verdict is kept."""


class Judgement(Struct, frozen=True, kw_only=True):
    """What the judge last said of a rollout."""

    at: Annotated[float, Meta(description="Epoch seconds")]
    stage: Annotated[str, Meta(description="`<attempt>.<step>` that was judged")]
    verdicts: Annotated[dict[str, Verdict], Meta(description="By the candidate's version")]


class Judgements:
    """Reads evidence, and keeps what was said of it."""

    def __init__(self, server: redis.Redis) -> None:
        """Take a client of the limits server; every method raises ``RedisError`` if it is away."""
        self._server = server

    async def evidence(self, rollout: Rollout, version: str, stage: str = "") -> Evidence:
        """What a candidate and its control did in a stage, the present one by default.

        A candidate that only sees requests in shadow is counted together with the answers that
        were given to the same requests.
        """
        stage = stage or rollout.stage
        places = [(rollout.id, stage, version)]
        if rollout.buckets.get(version):
            places.append((rollout.id, stage, CONTROL))
        counts: dict[str | bytes, str | bytes | int] = {}
        for place in places:
            counts |= await cast("Awaitable[Any]", self._server.hgetall(layout.counts(*place)))
        failing = {
            Side.CANDIDATE: await self._failing(rollout.id, stage, version),
            Side.CONTROL: await self._failing(rollout.id, stage, CONTROL),
        }
        return Evidence.read(counts, failing)

    async def control_before(self, rollout: Rollout) -> Arm | None:
        """What the control did in the stage that had one last, for a stage that has none."""
        if not rollout.control_stage:
            return None
        place = layout.counts(rollout.id, rollout.control_stage, CONTROL)
        counts = await cast("Awaitable[Any]", self._server.hgetall(place))
        return Evidence.read(counts, {}).control

    async def keep(self, rollout: str, judgement: Judgement) -> None:
        """Keep what was said, in place of what was said before."""
        await self._server.set(
            layout.verdict(rollout), msgspec.json.encode(judgement), ex=VERDICT_S
        )

    async def latest(self, rollout: str) -> Judgement | None:
        """What was last said of a rollout; None if nothing was."""
        text = await self._server.get(layout.verdict(rollout))
        return None if text is None else msgspec.json.decode(text, type=Judgement)

    async def _failing(self, rollout: str, stage: str, arm: str) -> int:
        place = layout.failed(rollout, stage, arm)
        return int(await self._server.scard(place))
