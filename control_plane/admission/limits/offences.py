"""Bad credentials by address: counted in the accounts, slowed down once there are too many."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Final

from control_plane.admission.accounts.shapes import ANONYMOUS, STANDARD_TIERS
from control_plane.admission.limits.gate import OFFENCE
from control_plane.admission.limits.ledger import Demand, Entry, Ledger, Reason, ScriptFailed
from control_plane.admission.limits.link import LinkDown
from control_plane.admission.recent import Recent
from control_plane.tasks import end

MAX_NETWORKS: Final = 10_000
_LIMITS: Final = next(tier.limits for tier in STANDARD_TIERS if tier.name == ANONYMOUS)


class BadCredentials:
    """Counts refused credentials; those of one network weigh as those of one client.

    They are a client of their own (``x:<network>``) beside the anonymous callers of the network,
    who are not slowed down for the sake of a neighbour.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Keep the counts in the accounts."""
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._counts: Counter[str] = Counter()
        self._until: Recent[str, float] = Recent(MAX_NETWORKS)
        self._telling: asyncio.Task[None] | None = None

    def note(self, network: str) -> None:
        """A credential from a network was refused."""
        if network in self._counts or len(self._counts) < MAX_NETWORKS:
            self._counts[network] += 1
        if self._telling is None:
            self._telling = self._loop.create_task(self._tell())

    def slowed(self, network: str) -> float:
        """Seconds for which refused credentials of a network are answered 429."""
        return max(0.0, (self._until.get(network) or 0.0) - self._loop.time())

    async def close(self) -> None:
        """Stop telling."""
        if self._telling is not None:
            await end([self._telling])

    async def _tell(self) -> None:
        try:
            while self._counts:
                counts, self._counts = self._counts, Counter()
                entries = [_entry(network, count) for network, count in counts.items()]
                with suppress(LinkDown):  # an outage forgives
                    await self._learn(list(counts), entries)
        finally:
            self._telling = None

    async def _learn(self, networks: list[str], entries: list[Entry]) -> None:
        verdicts = await self._ledger.ask(entries)
        for network, verdict in zip(networks, verdicts, strict=True):
            if isinstance(verdict, ScriptFailed):
                continue
            granted = verdict.granted[0]
            if granted.reason is Reason.BLOCKED:
                self._until.put(network, self._loop.time() + granted.retry_us / 1e6)


def _entry(network: str, count: int) -> Entry:
    demand = Demand("", f"x:{network}", 0, 0, 0, 0, 0, 0, offence=OFFENCE * count)
    return Entry(f"a:{network}", _LIMITS, [], [demand])
