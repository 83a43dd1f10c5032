"""What travels in one call to the accounts."""

from __future__ import annotations

from msgspec import structs

from control_plane.admission.limits.ledger import Demand, Entry
from control_plane.admission.limits.permit import Grant, Permit
from control_plane.admission.limits.pool import Pool
from control_plane.coalesce import Waiting


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


class Round:
    """Entries by subject, and where each of their parts came from.

    Attributes:
        asks: The requests that wait, by pool.
        entries: What is sent, by subject.
        origins: Of an entry's demands: the pool and the permit of each, in order.
        reported: Whose reports are sent.
    """

    def __init__(self, asks: list[Ask]) -> None:
        self.asks: dict[Pool, list[Ask]] = {}
        for ask in asks:
            if ask.pool is not None:
                self.asks.setdefault(ask.pool, []).append(ask)
        self.entries: dict[str, Entry] = {}
        self.origins: dict[str, list[tuple[Pool, str]]] = {}
        self.reported: list[tuple[Pool, Grant]] = []

    def entry(self, pool: Pool) -> Entry:
        """The entry of a pool's subject."""
        subject = pool.principal.subject
        entry = self.entries.get(subject)
        if entry is None:
            entry = self.entries[subject] = Entry(subject, pool.principal.limits, [], [])
            self.origins[subject] = []
        return entry

    def report(self, pool: Pool, grant: Grant) -> None:
        """Add what became of a grant, or once more what was sent and not confirmed."""
        if grant.pending is None:
            grant.pending = pool.report(grant)
        self.entry(pool).reports.append(grant.pending)
        self.reported.append((pool, grant))

    def demand(self, pool: Pool, demand: Demand) -> None:
        """Add a demand; the limits of its principal hold for the whole entry.

        A report may come from a pool that was last used under earlier limits.
        """
        principal = pool.principal
        entry = self.entry(pool)
        if not entry.demands and entry.limits != principal.limits:
            self.entries[principal.subject] = structs.replace(entry, limits=principal.limits)
        entry.demands.append(demand)
        self.origins[principal.subject].append((pool, demand.permit))
