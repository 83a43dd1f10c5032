"""What one process holds of one kind of request of one client: granted ahead, or owed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from control_plane.admission.limits.ledger import Demand, Report
from control_plane.admission.limits.permit import HOLD_S, Grant, Price
from control_plane.admission.limits.standing import Standing
from control_plane.admission.principal import Principal

AHEAD_S: Final = 0.05
"""Requests of so many seconds are asked for ahead."""
MOST_AHEAD: Final = 256
LEAST_AHEAD: Final = 4


class Pool:
    """The grants of one client for one price.

    Attributes:
        principal: Who asks, with its latest limits.
        price: What one request costs.
        standing: What the accounts said last; None before the first answer.
        offences: Thousandths of offences that were not told yet.
        owed: What was served while the accounts were away and they do not know of yet.
        changed: Told when something became of a grant that the accounts know.
        repaid: The same of one that is owed.
        spare: Requests that may begin without asking.
        touched: Event-loop time of the latest request, seconds.
    """

    __slots__ = ("_asked_at", "_begun", "_grants", "_target", "changed", "field", "offences",
                 "owed", "price", "principal", "repaid", "spare", "standing",
                 "touched")  # fmt: skip

    def __init__(
        self,
        principal: Principal,
        price: Price,
        now: float,
        changed: Callable[[Pool, Grant], None],
        repaid: Callable[[Pool, Grant], None],
    ) -> None:
        self.principal = principal
        self.price = price
        self.field = f"{principal.client}|{price.model}|{price.version}"
        self.standing: Standing | None = None
        self.owed: list[Grant] = []
        self.changed = partial(changed, self)
        self.repaid = partial(repaid, self)
        self.touched = now
        self._grants: deque[Grant] = deque()
        self.spare = self.offences = 0
        self._begun = 0
        self._asked_at = now
        self._target = LEAST_AHEAD

    @property
    def is_low(self) -> bool:
        """True if it is time to ask for more, ahead of the need."""
        return self.price.ahead and bool(self._grants) and self.spare * 4 < self._target

    def take(self, now: float) -> Grant | None:
        """Begin a request that was granted ahead; None if there is none, or it is too old."""
        self.touched = now
        if not self._grants:
            return None
        grant = self._grants[0]
        if now >= grant.until:
            return None
        grant.used += 1
        self.spare -= 1
        self._begun += 1
        if grant.spare == 0:
            self._grants.popleft()
        return grant

    def borrow(self) -> Grant:
        """Begin a request that the accounts do not know of."""
        if not self.owed or self.owed[-1].permit:
            self.owed.append(Grant("", 0, 0, 0.0))
        grant = self.owed[-1]
        grant.granted += 1
        grant.used += 1
        return grant

    def add(self, grant: Grant) -> None:
        """Keep what was granted ahead."""
        if grant.spare:
            self._grants.append(grant)
            self.spare += grant.spare

    def give_back(self, now: float) -> list[Grant]:
        """Give up what is too old; the grants that have to be reported."""
        given = []
        while self._grants and now >= self._grants[0].until:
            grant = self._grants.popleft()
            self.spare -= grant.spare
            grant.returned += grant.spare
            given.append(grant)
        return given

    def demand(self, permit: str, waiting: int, now: float) -> Demand:
        """What to ask for: those that wait, and what the next moments will need."""
        seconds = max(now - self._asked_at, 1e-3)
        rate = (self._begun + waiting) / seconds
        self._target = min(MOST_AHEAD, max(LEAST_AHEAD, round(rate * AHEAD_S)))
        self._asked_at, self._begun = now, 0
        price = self.price
        offences, self.offences = self.offences, 0
        return Demand(
            permit=permit,
            client=self.principal.client,
            wanted=waiting,
            ahead=max(0, self._target - self.spare) if price.ahead else 0,
            cost=price.cost,
            units=price.units,
            slot=1,
            ttl_ms=price.ttl_ms,
            offence=price.offence * waiting + offences,
        )

    def debt(self, grant: Grant) -> Demand:
        """What was served while the accounts were away, to be recorded now."""
        return Demand(
            permit=grant.permit,
            client=self.principal.client,
            wanted=grant.used,
            ahead=0,
            cost=self.price.cost,
            units=self.price.units,
            slot=1,
            ttl_ms=self.price.ttl_ms,
            owed=1,
        )

    def report(self, grant: Grant) -> Report:
        """What became of a grant since the report before; the counts begin anew."""
        report = Report(
            permit=grant.permit,
            used=grant.used,
            settled=grant.settled,
            confirmed=grant.confirmed,
            returned=grant.returned,
            field=self.field,
            requests=grant.requests,
            errors=grant.errors,
            compute_us=grant.compute_us,
        )
        grant.requests = grant.errors = grant.compute_us = 0
        return report


def until(now: float) -> float:
    """Event-loop time until which what is granted now may begin."""
    return now + HOLD_S
