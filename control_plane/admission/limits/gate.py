"""Lets requests in: at once if that was granted ahead, else with the next call to the accounts.

Demands that wait in a process, and reports of what ended, travel together in one round trip
(``coalesce.py``), one atomic call a subject. A client with much room left is granted a few
requests ahead (at most a 64th of that room), so that most of its requests wait for nothing; near
a limit nothing is granted ahead and every decision is the accounts' own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from control_plane.admission.limits.allowance import Allowance
from control_plane.admission.limits.ledger import Entry, Granted, Ledger, Reason, Verdict
from control_plane.admission.limits.link import LinkDown
from control_plane.admission.limits.outage import Outage
from control_plane.admission.limits.permit import Grant, Permit, Price
from control_plane.admission.limits.pool import Pool, until
from control_plane.admission.limits.refusal import refusal
from control_plane.admission.limits.round import Ask, Round
from control_plane.admission.principal import Principal
from control_plane.coalesce import Closed, Coalescer, QueueFull
from control_plane.errors import AdmissionUnavailable, DeadlineExceeded, Overloaded, TidegateError

MAX_CALL: Final = 1024
MAX_WAITING: Final = 100_000
OFFENCE: Final = 1000
"""An error of the client's own making, in thousandths of an offence."""
FLUSH_S: Final = 0.005
"""Reports wait so long for a demand to travel with, in seconds."""
LAZY_FLUSH_S: Final = 0.025
"""The same of a client that is far from its limits."""
REAP_S: Final = 0.05
IDLE_S: Final = 60.0


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
        self._allowance = Allowance(replicas)
        self._loop = asyncio.get_running_loop()
        self._name = secrets.token_hex(5)
        self._count = 0
        self._pools: dict[tuple[str, str], Pool] = {}
        self._changed: dict[Grant, Pool] = {}
        self._hungry: set[Pool] = set()
        self._flush_soon = self._flush_lazily = False
        self._reaping = False
        self._calling = False
        self._tally: Counter[str] = Counter()
        self._outage = Outage(ledger, Allowance(replicas), self._pools, self._next_id, self._back)
        self._coalescer: Coalescer[Ask, Permit | None] = Coalescer(
            self._run, max_batch=MAX_CALL, slots=1, max_waiting=MAX_WAITING
        )

    @property
    def is_away(self) -> bool:
        """True while the accounts cannot be reached."""
        return self._outage.is_on

    def take(self, principal: Principal, price: Price) -> Permit | None:
        """Let a request in at once, if one was granted ahead."""
        pool = self._pools.get((principal.client, price.key))
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
            for pool in self._pools.values():
                self._note(pool, pool.give_back(float("inf")))
            if not self._changed and not self._calling:
                break
            self._send()
            await asyncio.sleep(0.01)
        self._outage.close()
        await self._coalescer.close(max(0.0, end - self._loop.time()))

    def _pool(self, principal: Principal, price: Price) -> Pool:
        key = (principal.client, price.key)
        pool = self._pools.get(key)
        if pool is None:
            now = self._loop.time()
            pool = Pool(principal, price, now, self._on_change, self._outage.repaid)
            self._pools[key] = pool
            self._reap_later()
        pool.principal = principal
        return pool

    def _permit(self, pool: Pool, grant: Grant) -> Permit:
        return Permit(grant, pool.standing, pool.spare, pool.price.units, pool.changed)

    def _on_change(self, pool: Pool, grant: Grant) -> None:
        self._changed[grant] = pool
        if not self._flush_soon:
            self._flush_later(lazily=pool.spare > 0)

    def _note(self, pool: Pool, grants: list[Grant]) -> None:
        for grant in grants:
            self._changed[grant] = pool

    def _send(self) -> None:
        """Make a call as soon as none is under way, whatever waits."""
        with suppress(QueueFull, Closed):
            self._coalescer.enter(Ask(None), None, self._loop.time() + 60)

    def _flush_later(self, *, lazily: bool = False) -> None:
        if self._flush_soon or (lazily and self._flush_lazily):
            return
        if lazily:
            self._flush_lazily = True
        else:
            self._flush_soon = True
        self._loop.call_later(LAZY_FLUSH_S if lazily else FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._flush_soon = self._flush_lazily = False
        if self._changed and not self.is_away:
            self._send()

    def _reap_later(self) -> None:
        if not self._reaping:
            self._reaping = True
            self._loop.call_later(REAP_S, self._reap)

    def _reap(self) -> None:
        """Give back what is too old, forget who has not called for a minute."""
        now = self._loop.time()
        for key, pool in list(self._pools.items()):
            self._note(pool, pool.give_back(now))
            if now - pool.touched > IDLE_S and not pool.owed:
                del self._pools[key]
        self._flush()
        self._reaping = False
        if self._pools:
            self._reap_later()

    async def _run(self, asks: list[Ask], _: float) -> list[Permit | Exception | None]:
        round_ = self._round(asks)
        if not round_.entries:
            return [None] * len(asks)
        self._calling = True
        try:
            verdicts = await self._ask(list(round_.entries.values()))
        except LinkDown as error:
            self._outage.begin(str(error))
            for pool, grant in round_.reported:
                self._changed[grant] = pool
            return [self._alone(ask) for ask in asks]
        finally:
            self._calling = False
        self._confirmed(round_)
        answers: dict[Ask, Permit | Exception | None] = {}
        for entry, verdict in zip(round_.entries.values(), verdicts, strict=True):
            origins = round_.origins[entry.subject]
            for (pool, permit), granted in zip(origins, verdict.granted, strict=True):
                self._share(pool, permit, granted, verdict, round_.asks.pop(pool, []), answers)
        return [answers.get(ask) for ask in asks]

    def _round(self, asks: list[Ask]) -> Round:
        round_ = Round(asks)
        now = self._loop.time()
        for grant, pool in self._changed.items():
            round_.report(pool, grant)
        self._changed.clear()
        hungry, self._hungry = self._hungry, set()
        for pool in {*round_.asks, *hungry}:
            waiting = len(round_.asks.get(pool, ()))
            round_.demand(pool, pool.demand(self._next_id(), waiting, now))
        return round_

    async def _ask(self, entries: list[Entry]) -> list[Verdict]:
        """Ask, and ask the same once more if the answer is lost."""
        try:
            return await self._ledger.ask(entries)
        except LinkDown:
            return await self._ledger.ask(entries, repeated=True)

    def _confirmed(self, round_: Round) -> None:
        """Note that the accounts have taken the reports."""
        for pool, grant in round_.reported:
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
        pool.add(grant)
        if granted.reason is Reason.BLOCKED:
            self._note(pool, pool.give_back(float("inf")))
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
