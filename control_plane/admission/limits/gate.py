"""Lets requests in: at once if that was granted ahead, else with the next call to the accounts.

Demands that wait in a process, and reports of what ended, travel together in one round trip
(``coalesce.py``), one atomic call a subject. A client with much room left is granted a few
requests ahead (at most a 64th of that room), so that most of its requests wait for nothing; near
a limit nothing is granted ahead and every decision is the accounts' own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from control_plane.admission.limits.allowance import Allowance
from control_plane.admission.limits.ledger import (
    Entry,
    Granted,
    Ledger,
    Reason,
    ScriptFailed,
    Verdict,
)
from control_plane.admission.limits.link import LinkDown
from control_plane.admission.limits.outage import Outage
from control_plane.admission.limits.permit import Grant, Permit, Price
from control_plane.admission.limits.pool import Pool, until
from control_plane.admission.limits.pools import Pools
from control_plane.admission.limits.refusal import refusal
from control_plane.admission.limits.round import Ask, Part, Round
from control_plane.admission.principal import Principal
from control_plane.coalesce import Closed, Coalescer, QueueFull
from control_plane.errors import AdmissionUnavailable, DeadlineExceeded, Overloaded, TidegateError

log = logging.getLogger(__name__)

MAX_CALL: Final = 1024
MAX_WAITING: Final = 100_000
OFFENCE: Final = 1000
"""An error of the client's own making, in thousandths of an offence."""
FLUSH_S: Final = 0.005
"""Reports wait so long for a demand to travel with, in seconds."""
LAZY_FLUSH_S: Final = 0.05
"""The same of a client that is far from its limits."""
REAP_S: Final = 0.05


class Gate:
    """Admission of one process."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        replicas: Callable[[], int],
        refused: Callable[[str], None],
    ) -> None:
        """Begin with nothing granted.

        Args:
            ledger: The accounts.
            replicas: How many processes share the limits, as far as is known.
            refused: Told of every refusal, with what was used up.
        """
        self._ledger = ledger
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._name = secrets.token_hex(5)
        self._count = 0
        self._changed: dict[Grant, Pool] = {}
        self._lost: dict[str, Pool] = {}
        self._hungry: set[Pool] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False
        self._reaping = False
        self._calling = False
        self._tally: Counter[str] = Counter()
        self._outage = Outage(ledger, Allowance(replicas), self._next_id, self._back)
        self._pools = Pools(self._on_change, self._outage.repaid)
        self._outage.watch(self._pools)
        self._coalescer: Coalescer[Ask, Permit | None] = Coalescer(
            self._run, max_batch=MAX_CALL, slots=1, max_waiting=MAX_WAITING, abandon=False
        )

    @property
    def is_away(self) -> bool:
        """True while the accounts cannot be reached."""
        return self._outage.is_on

    def take(self, principal: Principal, price: Price) -> Permit | None:
        """Let a request in at once, if one was granted ahead."""
        pool = self._pools.find(principal, price)
        if pool is None:
            return None
        pool.principal = principal
        grant = pool.take(self._loop.time())
        if grant is None:
            return None
        self._tally["ahead"] += 1
        if pool.is_low and pool not in self._hungry:
            self._hungry.add(pool)
            self._send()
        return self._permit(pool, grant)

    async def admit(self, principal: Principal, price: Price, deadline: float) -> Permit:
        """Let a request in, or say why not.

        Args:
            principal: Who asks.
            price: What it costs.
            deadline: Event-loop time after which nobody waits, seconds.

        Raises:
            TidegateError: RATE_LIMITED, CONCURRENCY_LIMITED, QUOTA_EXCEEDED, TEMPORARILY_BLOCKED,
                ADMISSION_UNAVAILABLE, DEADLINE_EXCEEDED or OVERLOADED.
        """
        pool = self._pool(principal, price)
        if self.is_away:
            self._tally["alone"] += 1
            return self._outage.admit(pool)
        self._tally["asked"] += 1
        ask = Ask(pool)
        try:
            ask.member = member = self._coalescer.enter(ask, None, deadline)
        except QueueFull:
            raise Overloaded("Too many requests are waiting for admission") from None
        except Closed:
            raise AdmissionUnavailable("The server is shutting down") from None
        try:
            permit = await self._coalescer.wait(member)
        except asyncio.CancelledError:
            if member.future.done() and not member.future.cancelled():
                with suppress(Exception):
                    _give_up(member.future.result())
            raise
        except TimeoutError:
            raise DeadlineExceeded("The answer did not come within the deadline") from None
        except Closed:
            raise AdmissionUnavailable("The server is shutting down") from None
        assert permit is not None  # noqa: S101 (only flushes get None)
        return permit

    def offend(self, principal: Principal, price: Price) -> None:
        """Count an offence of a request that was admitted at a price, with the next call."""
        if not self.is_away:
            pool = self._pool(principal, price)
            pool.offences += OFFENCE
            self._hungry.add(pool)
            self._send()

    def tally(self) -> dict[str, int]:
        """Requests since the last time: granted ``ahead``, ``asked`` for, decided ``alone``."""
        counts, self._tally = self._tally, Counter()
        return counts

    async def close(self, timeout_s: float) -> None:
        """Report everything that ended and give back what was granted ahead."""
        end = self._loop.time() + timeout_s
        while not self.is_away and self._loop.time() < end:
            self._give_back(float("inf"))
            if not self._changed and not self._lost and not self._calling:
                break
            self._send()
            await asyncio.sleep(0.01)
        self._outage.close()
        await self._coalescer.close(max(0.0, end - self._loop.time()))

    def _pool(self, principal: Principal, price: Price) -> Pool:
        pool = self._pools.ensure(principal, price, self._loop.time())
        self._reap_later()
        return pool

    def _permit(self, pool: Pool, grant: Grant) -> Permit:
        return Permit(grant, pool.standing, pool.spare, pool.price.units, pool.changed)

    def _on_change(self, pool: Pool, grant: Grant) -> None:
        self._changed[grant] = pool
        self._flush_later(lazily=pool.spare > 0)

    def _send(self) -> None:
        """Make a call as soon as none is under way, whatever waits."""
        with suppress(QueueFull, Closed):
            self._coalescer.enter(Ask(None), None, self._loop.time() + 60)

    def _flush_later(self, *, lazily: bool = False) -> None:
        if self._timer is not None:
            if lazily or self._is_soon:
                return
            self._timer.cancel()
        self._is_soon = not lazily
        self._timer = self._loop.call_later(LAZY_FLUSH_S if lazily else FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._stop_timer()
        if (self._changed or self._lost) and not self.is_away:
            self._send()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reap_later(self) -> None:
        if not self._reaping:
            self._reaping = True
            self._loop.call_later(REAP_S, self._reap)

    def _reap(self) -> None:
        """Give back what is too old, forget who has not called for a minute."""
        now = self._loop.time()
        if self._give_back(now):
            self._flush()
        self._pools.sweep(now)
        self._reaping = False
        if self._pools:
            self._reap_later()

    def _give_back(self, now: float) -> bool:
        given = self._pools.give_back(now)
        self._changed.update((grant, pool) for pool, grant in given)
        return bool(given)

    async def _run(self, asks: list[Ask], _: float) -> list[Permit | Exception | None]:
        round_ = self._round(asks)
        if not round_.parts:
            return [None] * len(asks)
        self._calling = True
        try:
            verdicts = await self._ask([part.entry for part in round_.parts])
        except LinkDown as error:
            self._lose(round_, str(error))
            return [self._alone(ask) for ask in asks]
        finally:
            self._calling = False
        answers: dict[Ask, Permit | Exception | None] = {}
        for part, verdict in zip(round_.parts, verdicts, strict=True):
            self._confirmed(part)
            if isinstance(verdict, ScriptFailed):
                self._fail(part, round_, answers)
                continue
            for (pool, permit), granted in zip(part.origins, verdict.granted, strict=True):
                self._share(pool, permit, granted, verdict, round_.asks.pop(pool, []), answers)
        return [answers.get(ask) for ask in asks]

    def _round(self, asks: list[Ask]) -> Round:
        round_ = Round(asks)
        now = self._loop.time()
        for permit, pool in self._lost.items():
            round_.withdraw(pool, permit)
        for grant, pool in self._changed.items():
            round_.report(pool, grant)
        self._changed.clear()
        self._stop_timer()
        hungry, self._hungry = self._hungry, set()
        for pool in {*round_.asks, *hungry}:
            waiting = len(round_.asks.get(pool, ()))
            round_.demand(pool, pool.demand(self._next_id(), waiting, now))
        return round_

    def _lose(self, round_: Round, reason: str) -> None:
        """The accounts are away: what was sent is told again, what was asked for is withdrawn."""
        self._outage.begin(reason)
        for part in round_.parts:
            self._changed.update((grant, pool) for pool, grant in part.reported)
            self._lost.update((permit, pool) for pool, permit in part.origins)

    def _fail(
        self, part: Part, round_: Round, answers: dict[Ask, Permit | Exception | None]
    ) -> None:
        """The script failed for one subject, and would again: what was told of it is lost."""
        log.error("the accounts of a subject failed", extra={"subject": part.subject})
        for pool, _ in part.origins:
            for ask in round_.asks.pop(pool, []):
                answers[ask] = AdmissionUnavailable("The accounts failed")

    async def _ask(self, entries: list[Entry]) -> list[Verdict | ScriptFailed]:
        """Ask, and ask the same once more if the answer is lost."""
        try:
            return await self._ledger.ask(entries)
        except LinkDown:
            return await self._ledger.ask(entries, repeated=True)

    def _confirmed(self, part: Part) -> None:
        """Note that the accounts have taken the reports."""
        for permit in part.withdrawn:
            self._lost.pop(permit, None)
        for pool, grant in part.reported:
            sent, grant.pending = grant.pending, None
            assert sent is not None  # noqa: S101 (set when the round was put together)
            if grant.tells_more_than(sent):
                self._changed[grant] = pool
                self._flush_later()

    def _share(
        self,
        pool: Pool,
        permit: str,
        granted: Granted,
        verdict: Verdict,
        asks: list[Ask],
        answers: dict[Ask, Permit | Exception | None],
    ) -> None:
        """Give what was granted to those that wait, first come first served."""
        now = self._loop.time()
        pool.standing = verdict.standing
        grant = Grant(permit, granted.now, granted.ahead, until(now))
        self._pools.stock(pool, grant)
        if granted.reason is Reason.BLOCKED:
            self._changed.update((old, pool) for old in pool.give_back(float("inf")))
        for index, ask in enumerate(asks):
            if index >= granted.now:
                self._refused(granted.reason.name.lower())
                answers[ask] = refusal(granted, verdict.standing)
                continue
            answer = self._permit(pool, grant)
            if ask.is_gone:
                _give_up(answer)
            else:
                answers[ask] = answer

    def _alone(self, ask: Ask) -> Permit | Exception | None:
        if ask.pool is None or ask.is_gone:
            return None
        try:
            return self._outage.admit(ask.pool)
        except TidegateError as error:
            return error

    def _back(self) -> None:
        self._flush_later()

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._name}.{self._count}"


def _give_up(permit: Permit | None) -> None:
    """End a permit that nobody waits for any more."""
    if permit is not None:
        permit.refund(failed=False)
