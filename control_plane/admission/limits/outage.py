"""The time without accounts: local allowances, and the debts that are told afterwards."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Final

from control_plane.admission.limits.allowance import Allowance
from control_plane.admission.limits.ledger import Entry, Ledger
from control_plane.admission.limits.link import LinkDown
from control_plane.admission.limits.permit import Grant, Permit
from control_plane.admission.limits.pool import Pool

log = logging.getLogger(__name__)

PROBE_S: Final = (0.1, 1.0)
"""While the accounts are away they are tried again after a random time between these, so that the
processes do not come back all at once."""


class Outage:
    """Decides while the accounts are away, and watches for their return."""

    def __init__(
        self,
        ledger: Ledger,
        allowance: Allowance,
        next_id: Callable[[], str],
        ended: Callable[[], None],
    ) -> None:
        """Begin with the accounts in place.

        Args:
            ledger: The accounts.
            allowance: What may be admitted without them.
            next_id: Gives ids of permits.
            ended: Told when the accounts are back and know every debt that has ended.
        """
        self._ledger = ledger
        self._allowance = allowance
        self._pools: Iterable[Pool] = ()
        self._next_id = next_id
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._search: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """True while the accounts are away."""
        return self._search is not None

    def watch(self, pools: Iterable[Pool]) -> None:
        """Know the pools, which may owe something."""
        self._pools = pools

    def begin(self, reason: str) -> None:
        """The accounts are away."""
        if self._search is None:
            log.error("the limits server is away: local allowances", extra={"reason": reason})
            self._allowance.begin(self._loop.time())
            self._search = self._loop.create_task(self._find())

    def admit(self, pool: Pool) -> Permit:
        """Admit a request without the accounts.

        Raises:
            TidegateError: If the allowance does not cover it.
        """
        wait_s = pool.standing.wait_us / 1e6 if pool.standing is not None else 0.0
        self._allowance.take(pool.principal, pool.price, self._loop.time(), wait_s)
        return Permit(pool.borrow(), None, 0, pool.price.units, pool.repaid)

    def repaid(self, pool: Pool, grant: Grant) -> None:
        """A request that was admitted without the accounts ended."""
        self._allowance.leave(pool.principal)
        if grant not in pool.owed:
            pool.changed(grant)

    def close(self) -> None:
        """Stop watching."""
        if self._search is not None:
            self._search.cancel()

    async def _find(self) -> None:
        """Try until the accounts answer again, then tell them what was served meanwhile."""
        while True:
            await asyncio.sleep(random.uniform(*PROBE_S))  # noqa: S311 (spreads load)
            try:
                await self._ledger.prepare()
                while owing := [pool for pool in self._pools if pool.owed]:
                    for pool in owing:
                        await self._repay(pool)
            except LinkDown:
                continue
            break
        log.info("the limits server is back")
        self._search = None
        self._allowance.end(self._loop.time())
        self._ended()

    async def _repay(self, pool: Pool) -> None:
        """Record a pool's oldest debt; told again with the same permit it counts once."""
        grant = pool.owed[0]
        grant.permit = grant.permit or self._next_id()
        entry = Entry(pool.principal.subject, pool.principal.limits, [], [pool.debt(grant)])
        await self._ledger.ask([entry])
        pool.owed.remove(grant)
        pool.changed(grant)
