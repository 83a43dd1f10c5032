"""Judges the running rollouts every two seconds; one process at a time does it.

A verdict is acted on at the revision of the model's record that it was found for: if anybody
changed the rollout meanwhile, it is judged anew in the next round.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.errors import TidegateError
from control_plane.records.lease import Lease
from control_plane.records.transaction import SYSTEM
from control_plane.routing import layout
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.endings import advance, roll_back
from control_plane.routing.judge.judgement import Judgement, Judgements
from control_plane.routing.judge.verdict import Decision, Step, Verdict, judge
from control_plane.routing.state import BUCKETS, Candidate, ModelState, Range, Rollout
from control_plane.routing.store import ModelStore

log = logging.getLogger(__name__)

ROUND_S: Final = 2.0
LEASE_MS: Final = 10_000


class RolloutJudge:
    """Judges, in the admin process."""

    def __init__(
        self,
        store: ModelStore,
        server: redis.Redis,
        states: Callable[[], Mapping[str, ModelState]],
        observe: Callable[[str, str], None] = lambda _model, _decision: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Judge, once started.

        Args:
            store: Where verdicts take effect.
            server: The limits server, which has the counts.
            states: Of the models, as this process knows them.
            observe: Told of every verdict that took effect: model, ``advance`` or ``roll_back``.
            clock: Epoch seconds.
        """
        self._store = store
        self._judgements = Judgements(server)
        self._states = states
        self._observe = observe
        self._clock = clock
        self._lease = Lease(server, layout.JUDGE, LEASE_MS)

    async def run(self) -> None:
        """Judge every two seconds until cancelled; another process may then go on at once."""
        try:
            while True:
                await asyncio.sleep(ROUND_S)
                try:
                    await self.round()
                except (RedisError, OSError, TidegateError) as error:
                    log.warning("rollouts are not judged now", extra={"fault": _name(error)})
                except Exception:
                    log.exception("rollouts are not judged now")
        finally:
            await self._lease.give_up()

    async def round(self) -> None:
        """Judge every running rollout that has guards, if no other process does.

        Raises:
            RedisError: If the limits server is away.
            TidegateError: If the system of record is.
        """
        judged = [state for state in self._states().values() if _is_judged(state)]
        if not judged or not await self._lease.take():
            return
        for state in judged:
            try:
                await self._judge(state, state.rollout)
            except TidegateError as error:
                if error.code not in {"REVISION_CONFLICT", "LIFE_CONFLICT"}:
                    raise
                log.info("a verdict came too late", extra={"model": state.name})
            except (ValueError, ArithmeticError):  # of one rollout's counts: the others go on
                log.exception("a rollout cannot be judged", extra={"model": state.name})

    async def _judge(self, state: ModelState, rollout: Rollout | None) -> None:
        if rollout is None or rollout.guards is None:
            return
        before = await self._judgements.control_before(rollout)
        verdicts: dict[str, Verdict] = {}
        for candidate in rollout.candidates:
            evidence = await self._judgements.evidence(rollout, candidate.version)
            step = _step(rollout, candidate, self._clock())
            verdicts[candidate.version] = judge(evidence, rollout.guards, step, before)
        judgement = Judgement(at=self._clock(), stage=rollout.stage, verdicts=verdicts)
        await self._judgements.keep(rollout.id, judgement)
        for version, verdict in verdicts.items():
            if verdict.decision is Decision.ROLL_BACK:
                await self._roll_back(state, version, verdict)
                return
        if rollout.plan and not rollout.paused:
            only = verdicts[rollout.candidates[0].version]
            if only.decision is Decision.PROMOTE:
                await self._advance(state, only)

    async def _roll_back(self, state: ModelState, version: str, verdict: Verdict) -> None:
        reason, report = "; ".join(verdict.reasons), _report(verdict)

        def decide(now: ModelState) -> Decided:
            return roll_back(now, SYSTEM.who, version, reason, report)

        await self._store.change(state.name, decide, SYSTEM, state.revision)
        log.warning(
            "rolled back", extra={"model": state.name, "version": version, "reason": reason}
        )
        self._observe(state.name, "roll_back")

    async def _advance(self, state: ModelState, verdict: Verdict) -> None:
        now, report = int(self._clock()), _report(verdict)

        def decide(current: ModelState) -> Decided:
            return advance(current, now, SYSTEM.who, "; ".join(verdict.reasons), report)

        await self._store.change(state.name, decide, SYSTEM, state.revision)
        log.info("rollout goes on", extra={"model": state.name})
        self._observe(state.name, "advance")


def _is_judged(state: ModelState) -> bool:
    return state.rollout is not None and state.rollout.guards is not None


def _step(rollout: Rollout, candidate: Candidate, now: float) -> Step:
    """What a candidate's step asks for; a rollout without a plan is one step without an end."""
    planned = rollout.plan[rollout.step] if rollout.plan else None
    until = rollout.paused_at or now
    return Step(
        steps=max(len(rollout.plan), 1) * len(rollout.candidates),
        weight=_width(rollout.buckets.get(candidate.version, ())) / BUCKETS,
        control_weight=_width(rollout.control) / BUCKETS,
        shadow=candidate.weight == 0,
        elapsed_s=max(0.0, until - rollout.step_since),
        least_s=planned.min_duration_s if planned else 0,
        least_requests=planned.min_requests if planned else 0,
    )


def _width(ranges: tuple[Range, ...]) -> int:
    return sum(end - first for first, end in ranges)


def _report(verdict: Verdict) -> dict[str, Any]:
    report: dict[str, Any] = msgspec.to_builtins(verdict)
    return report


def _name(error: Exception) -> str:
    return type(error).__name__
