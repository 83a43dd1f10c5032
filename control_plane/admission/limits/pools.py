"""The pools of one process: found by who asks for what, given back and forgotten in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from control_plane.admission.limits.permit import Grant, Price
from control_plane.admission.limits.pool import Pool
from control_plane.admission.principal import Principal

IDLE_S: Final = 60.0
"""Who has not called for so long, in seconds, is forgotten."""
MAX_SWEPT: Final = 200
"""Pools that one sweep looks at, so that many callers do not stall the process."""

_Key = tuple[str, str, str]
_Told = Callable[[Pool, Grant], None]


class Pools:
    """Every pool of the process."""

    def __init__(self, changed: _Told, repaid: _Told) -> None:
        """Begin with none.

        Args:
            changed: Told when something became of a grant that the accounts know.
            repaid: The same of one that is owed.
        """
        self._changed = changed
        self._repaid = repaid
        self._pools: dict[_Key, Pool] = {}
        self._turns: deque[_Key] = deque()
        self._stocked: set[Pool] = set()

    def __len__(self) -> int:
        return len(self._pools)

    def __iter__(self) -> Iterator[Pool]:
        return iter(list(self._pools.values()))

    def find(self, principal: Principal, price: Price) -> Pool | None:
        """The pool of a client for a price, if there is one."""
        return self._pools.get((principal.subject, principal.client, price.key))

    def ensure(self, principal: Principal, price: Price, now: float) -> Pool:
        """The same, made if need be; the principal's limits are those of now."""
        key = (principal.subject, principal.client, price.key)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(principal, price, now, self._changed, self._repaid)
            self._turns.append(key)
        pool.principal = principal
        return pool

    def stock(self, pool: Pool, grant: Grant) -> None:
        """Keep what was granted ahead."""
        pool.add(grant)
        if pool.spare:
            self._stocked.add(pool)

    def give_back(self, now: float) -> list[tuple[Pool, Grant]]:
        """Give up what is too old at an event-loop time; what has to be reported."""
        given = [(pool, grant) for pool in self._stocked for grant in pool.give_back(now)]
        self._stocked = {pool for pool in self._stocked if pool.spare}
        return given

    def sweep(self, now: float) -> None:
        """Forget some of those who have not called for long."""
        for _ in range(min(MAX_SWEPT, len(self._turns))):
            key = self._turns.popleft()
            pool = self._pools[key]
            if now - pool.touched > IDLE_S and not pool.owed and not pool.spare:
                del self._pools[key]
            else:
                self._turns.append(key)
