"""What travels in one call to the accounts."""

from __future__ import annotations

from typing import Final

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.ledger import WITHDRAWN, Demand, Entry, Report
from control_plane.admission.limits.permit import Grant, Permit
from control_plane.admission.limits.pool import Pool
from control_plane.coalesce import Waiting

MAX_PART: Final = 200
"""Reports and demands of one script call: Lua takes some thousand values, each client has six."""


class Ask:
    """A request that waits for the accounts; without a pool, only an occasion to call them."""

    __slots__ = ("member", "pool")

    def __init__(self, pool: Pool | None) -> None:
        self.pool = pool
        self.member: Waiting[Ask, Permit | None] | None = None

    @property
    def is_gone(self) -> bool:
        """True once nobody waits for the answer."""
        return self.member is not None and self.member.future.done()


class Part:
    """One script call: of one subject.

    Attributes:
        subject: Whose accounts.
        limits: Of the latest demand; of the first report if there is none.
        reports: What is told.
        demands: What is asked for.
        reported: Whose reports they are.
        origins: Of each demand its pool and its permit.
        withdrawn: Permits that were asked for in vain.
    """

    def __init__(self, subject: str, limits: Limits) -> None:
        self.subject = subject
        self.limits = limits
        self.reports: list[Report] = []
        self.demands: list[Demand] = []
        self.reported: list[tuple[Pool, Grant]] = []
        self.origins: list[tuple[Pool, str]] = []
        self.withdrawn: list[str] = []

    @property
    def entry(self) -> Entry:
        """What is sent."""
        return Entry(self.subject, self.limits, self.reports, self.demands)


class Round:
    """The script calls of one round trip.

    Attributes:
        asks: The requests that wait, by pool.
        parts: The script calls, in their order.
    """

    def __init__(self, asks: list[Ask]) -> None:
        self.asks: dict[Pool, list[Ask]] = {}
        for ask in asks:
            if ask.pool is not None:
                self.asks.setdefault(ask.pool, []).append(ask)
        self.parts: list[Part] = []
        self._open: dict[str, Part] = {}

    def report(self, pool: Pool, grant: Grant) -> None:
        """Add what became of a grant, or once more what was sent and not confirmed."""
        if grant.pending is None:
            grant.pending = pool.report(grant)
        part = self._part(pool)
        part.reports.append(grant.pending)
        part.reported.append((pool, grant))

    def withdraw(self, pool: Pool, permit: str) -> None:
        """Give up whatever was granted under a permit, whose answer was lost."""
        part = self._part(pool)
        part.reports.append(Report(permit, 0, 0, 0, WITHDRAWN, pool.field, 0, 0, 0))
        part.withdrawn.append(permit)

    def demand(self, pool: Pool, demand: Demand) -> None:
        """Add a demand, whose limits hold: a report may be of a pool used under earlier ones."""
        part = self._part(pool)
        part.limits = pool.principal.limits
        part.demands.append(demand)
        part.origins.append((pool, demand.permit))

    def _part(self, pool: Pool) -> Part:
        subject = pool.principal.subject
        part = self._open.get(subject)
        if part is None or len(part.reports) + len(part.demands) >= MAX_PART:
            part = self._open[subject] = Part(subject, pool.principal.limits)
            self.parts.append(part)
        return part
