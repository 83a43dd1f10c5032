"""Looks at what clients did and blocks those whom the rules find; one process at a time does it.

The lock only saves work: should two processes judge for a moment, a block is made only if the
client's latest one is still the one that it was decided on (``blocks.lua``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

import redis.asyncio as redis
from msgspec import Struct, structs
from redis.exceptions import RedisError

from control_plane.abuse import AbuseRules
from control_plane.admission import layout
from control_plane.admission.abuse.blocks import Blocks
from control_plane.admission.abuse.rules import MAX_MINUTES, Finding, Window, judge
from control_plane.admission.abuse.seen import Counts
from control_plane.admission.abuse.sightings import Client, Sightings
from control_plane.admission.abuse.steps import Block, held_from, is_settled, next_block
from control_plane.errors import TidegateError
from control_plane.records.lease import Lease

ROUND_S: Final = 5.0
LEASE_MS: Final = 20_000
MAX_CLIENTS: Final = 5_000
"""Clients judged in one round; further ones wait for rounds in which fewer are there."""
TEND_ROUNDS: Final = 12
_TURN: Final = 50

_log: Final = logging.getLogger(__name__)


class Round(Struct, frozen=True):
    """What one round came to.

    Attributes:
        judged: Clients looked at.
        skipped: Clients that were too many.
        blocks: Blocks put.
    """

    judged: int = 0
    skipped: int = 0
    blocks: tuple[Block, ...] = ()


class Judge:
    """Judges, in the admin process."""

    def __init__(
        self,
        server: redis.Redis,
        blocks: Blocks,
        rules: AbuseRules,
        observe: Callable[[Round, int], None] = lambda _round, _standing: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Judge, once started, by rules.

        Args:
            server: The limits server.
            blocks: Where blocks are put.
            rules: What is suspicious.
            observe: Told of each round, and of the number of blocks that stand.
            clock: Epoch seconds.
        """
        self._sightings = Sightings(server)
        self._blocks = blocks
        self._rules = rules
        self._observe = observe
        self._clock = clock
        self._lease = Lease(server, layout.JUDGE, LEASE_MS)
        self._windows: dict[Client, dict[int, Counts]] = {}
        self._rounds = 0
        self._standing = 0

    async def run(self) -> None:
        """Judge every five seconds until cancelled; another process may then go on at once."""
        try:
            while True:
                await asyncio.sleep(ROUND_S)
                await self._try_round()
        finally:
            await self._lease.give_up()

    async def round(self) -> Round:
        """Judge everyone seen in this minute and the one before, if no other process does.

        Raises:
            RedisError: If the limits server is away.
            AdmissionUnavailable: If the system of record is.
        """
        if not await self._lease.take():
            self._windows.clear()
            return Round()
        minute = int(self._clock() // 60)
        clients, skipped = await self._sightings.clients(minute, MAX_CLIENTS)
        if len(clients) < MAX_CLIENTS:
            earlier, more = await self._sightings.clients(minute - 1, MAX_CLIENTS - len(clients))
            clients, skipped = clients | earlier, skipped + more
        if skipped:
            _log.warning("abuse rules: too many clients, %d not judged", skipped)
        wanted = [client for client in sorted(clients) if not self._is_exempt(client)]
        await self._read(wanted, minute)
        put = await self._judge_all(wanted, minute)
        if self._rounds % TEND_ROUNDS == 0:
            self._standing = await self._blocks.tend()
        self._rounds += 1
        done = Round(len(wanted), skipped, tuple(put))
        self._observe(done, self._standing)
        return done

    async def _judge_all(self, clients: list[Client], minute: int) -> list[Block]:
        put: list[Block] = []
        for start in range(0, len(clients), _TURN):
            part = clients[start : start + _TURN]
            previous = await self._blocks.latest_of(part)
            for client, block in zip(part, previous, strict=True):
                made = await self._judge(client, minute, block)
                if made is not None:
                    put.append(made)
        return put

    async def _judge(self, client: Client, minute: int, previous: Block | None) -> Block | None:
        now = int(self._clock())
        if is_settled(previous, now):
            return None
        window = await self._window(client, minute, held_from(previous, self._rules))
        findings = judge(window, self._rules)
        if any(finding.rule == "jump" for finding in findings):
            busiest = await self._sightings.busiest_hour(client, minute // 60)
            findings = judge(structs.replace(window, busiest_hour=busiest), self._rules)
        if not findings:
            return None
        return await self._put(client, findings, previous, now)

    async def _put(
        self, client: Client, findings: list[Finding], previous: Block | None, now: int
    ) -> Block | None:
        block = next_block(*client, findings, previous, self._rules, now)
        if not await self._blocks.put_after(block, previous):
            _log.warning("abuse rules: a block came too late: %s", block.target)
            return None
        _log.warning(
            "abuse rules: %s block of %s until %d by rule %s",
            block.level, block.target, block.until, block.rule,
        )  # fmt: skip
        return block

    async def _window(self, client: Client, minute: int, since: int) -> Window:
        subject, name = client
        valid = refused = 0
        if subject == name:
            hours = [h for h in (minute // 60 - 1, minute // 60) if h * 60 >= since]
            network = subject.removeprefix("a:")
            valid, refused = await self._sightings.credentials(network, hours)
        return Window(
            subject=subject,
            client=name,
            minute=minute,
            since=since,
            counts=self._windows[client],
            valid_keys=valid,
            refused_keys=refused,
        )

    async def _read(self, clients: list[Client], minute: int) -> None:
        """Renew the windows: the latest hour of clients known, the whole of others."""
        fresh = [client for client in clients if client not in self._windows]
        known = [client for client in clients if client in self._windows]
        kept = {client: self._windows[client] for client in known}
        for part, minutes in ((fresh, MAX_MINUTES), (known, 3)):
            for client, counts in zip(
                part, await self._sightings.counts(part, minute, minutes), strict=True
            ):
                merged = kept.get(client, {}) | counts
                kept[client] = {m: c for m, c in merged.items() if m > minute - MAX_MINUTES}
        self._windows = kept

    def _is_exempt(self, client: Client) -> bool:
        tenant = client[0].removeprefix("t:")
        return client[0].startswith("t:") and any(
            fnmatchcase(tenant, pattern) for pattern in self._rules.exempt
        )

    async def _try_round(self) -> None:
        try:
            await self.round()
        except (RedisError, OSError, TidegateError) as error:
            _log.warning("abuse rules: no judgement now: %s", type(error).__name__)
