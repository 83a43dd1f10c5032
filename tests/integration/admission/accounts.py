"""The limits, told once more: a plain model of what ``limits.lua`` must do, for tests only.

It keeps every request as an object of its own and adds up when asked, where the script keeps
running totals; so a total that drifts shows.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from msgspec import structs

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.ledger import Demand, Reason, Report

AHEAD_SHARE = 64
SOFT = 4
LATE_US = 3600e6
SCORE, AMENDS, LIMITED, LEAK_PER_MS, CALM_MS, MAX_LEVEL = 20_000, 250, 1000, 1 / 3, 60_000, 12


@dataclass
class Held:
    """A permit: ``granted`` requests, each spare, running, paid, refunded or returned."""

    client: str
    granted: int
    cost: int
    units: int
    slot: int
    lapses: float
    used: int = 0
    settled: int = 0
    confirmed: int = 0
    returned: int = 0
    lapsed: bool = False


@dataclass
class Penalty:
    score: float = 0.0
    at: float = 0.0
    level: int = 0
    till: float = 0.0
    limited: float = 0.0


@dataclass
class Accounts:
    """One subject."""

    tat: float = 0.0
    permits: dict[str, Held] = field(default_factory=dict)
    usage: Counter[str] = field(default_factory=Counter)
    penalties: dict[str, Penalty] = field(default_factory=dict)
    blocks: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        return sum((p.granted - p.settled - p.returned) * p.slot for p in self._open())

    @property
    def held(self) -> int:
        return sum((p.granted - p.used - p.returned) * p.cost for p in self._open())

    @property
    def units(self) -> int:
        """Paid, and reserved by what is open."""
        reserved = sum((p.granted - p.settled - p.returned) * p.units for p in self._open())
        return self.usage["u"] + reserved

    def _open(self) -> list[Held]:
        return [permit for permit in self.permits.values() if not permit.lapsed]

    def lapse(self, now: float) -> None:
        for name, permit in list(self.permits.items()):
            if permit.lapsed and now >= permit.lapses:
                del self.permits[name]
            elif not permit.lapsed and now >= permit.lapses:
                permit.lapsed = True
                permit.lapses = now + LATE_US

    def report(self, told: Report, now: float, limits: Limits) -> int:
        """Take a report in; the requests that were paid by it."""
        permit = self.permits.get(told.permit)
        if permit is None:
            return 0
        if told.returned < 0:
            spare = permit.granted - permit.used
            told = structs.replace(told, used=permit.used, settled=permit.used, returned=spare)
        before = permit.used + permit.settled + permit.returned
        if told.used + told.settled + told.returned <= before:
            return 0
        if told.used > permit.used:
            spent = (told.used - permit.used) * permit.cost
            self.tat = max(self.tat, now) + spent * interval(limits)
        paid = told.confirmed - permit.confirmed
        self.usage["u"] += paid * permit.units
        self.usage["r"] += told.requests
        self.usage["e"] += told.errors
        self.usage["c"] += told.compute_us
        permit.used, permit.settled = told.used, told.settled
        permit.confirmed, permit.returned = told.confirmed, told.returned
        if told.settled + told.returned >= permit.granted:
            del self.permits[told.permit]
        return paid

    def level(self, client: str, now: float) -> tuple[str, float]:
        found = [self.blocks[name] for name in (client, "") if name in self.blocks]
        standing = [block for block in found if block[1] > now]
        hard = [block for block in standing if block[0] == "hard"]
        if client not in self.blocks or self.blocks[client] not in standing:
            return (hard or standing or [("", 0.0)])[0]
        return self.blocks[client] if self.blocks[client][0] == "hard" or not hard else hard[0]

    def penalty(self, client: str, now_ms: int, paid: int) -> Penalty:
        penalty = self.penalties.setdefault(client, Penalty(at=now_ms))
        leaked = max(0, now_ms - penalty.at) * LEAK_PER_MS
        penalty.score = max(0.0, max(0.0, penalty.score - leaked) - paid * AMENDS)
        penalty.at = now_ms
        return penalty

    def settle(self, client: str, now_ms: int) -> None:
        """Keep a penalty in whole thousandths, and only while it matters."""
        penalty = self.penalties[client]
        if penalty.score > 0 or penalty.till > now_ms - CALM_MS * MAX_LEVEL:
            penalty.score = round(penalty.score)
        else:
            del self.penalties[client]

    def demand(
        self, asked: Demand, now: float, limits: Limits, *, repeated: bool
    ) -> tuple[int, int, Reason]:
        """Decide; requests granted now, granted ahead, and why not more."""
        earlier = self.permits.get(asked.permit)
        if (repeated or asked.owed) and asked.wanted + asked.ahead > 0 and earlier is not None:
            return earlier.used, earlier.granted - earlier.used, Reason.NONE
        level, _ = self.level(asked.client, now)
        now_ms = math.floor(now / 1000)
        penalty = self.penalties[asked.client]
        if not asked.owed and (level == "hard" or penalty.till > now_ms):
            return 0, 0, Reason.BLOCKED
        part = SOFT if level == "soft" else 1
        rooms = self._rooms(asked, now, limits, part)
        able = min(room for room, _ in rooms)
        granted = max(0, min(asked.wanted, able))
        spare = 0
        if asked.ahead and part == 1:
            spare = max(0, min(asked.ahead, (able - granted) // AHEAD_SHARE))
        reason = Reason.NONE
        if granted < asked.wanted:
            reason = next(why for room, why in rooms if room <= granted)
        if granted and asked.cost:
            step = interval(limits) * part
            self.tat = max(self.tat, now) + granted * asked.cost * step
        if granted + spare:
            self.permits[asked.permit] = Held(
                asked.client, granted + spare, asked.cost, asked.units, asked.slot,
                now + asked.ttl_ms * 1000, used=granted,
            )  # fmt: skip
        self._offend(penalty, asked.offence, reason, now_ms)
        return granted, spare, reason

    def _rooms(
        self, asked: Demand, now: float, limits: Limits, part: int
    ) -> list[tuple[int, Reason]]:
        """How many each limit has room for, in the order in which refusals are explained."""
        endless = 10**15
        rate = slots = month = day = endless
        if asked.cost and not asked.owed:
            step = interval(limits) * part
            free = (now - max(self.tat, now)) / step + max(1, limits.burst // part) - self.held
            rate = math.floor((free + 1e-6) / asked.cost)
        if asked.slot and not asked.owed:
            slots = max(1, limits.concurrency // part) - self.slots
        if asked.units and limits.overage == "block" and not asked.owed:
            if limits.month_units is not None:
                month = (limits.month_units - self.units) // asked.units
            if limits.day_units is not None:
                day = (limits.day_units - self.units) // asked.units
        quota = (day, Reason.DAY_QUOTA) if day < month else (month, Reason.MONTH_QUOTA)
        return [(rate, Reason.RATE), (slots, Reason.CONCURRENCY), quota]

    def _offend(self, penalty: Penalty, offence: int, reason: Reason, now_ms: int) -> None:
        if reason is Reason.RATE and now_ms - penalty.limited >= 1000:
            offence += LIMITED
            penalty.limited = now_ms
        if not offence:
            return
        penalty.score += offence
        if penalty.score >= SCORE:
            calm = math.floor((now_ms - penalty.till) / CALM_MS)
            level = max(0, penalty.level - calm)
            penalty.till = now_ms + 1000 * 2**level
            penalty.level = min(MAX_LEVEL, level + 1)
            penalty.score = SCORE / 2


def interval(limits: Limits) -> float:
    return limits.window_s * 1e6 / limits.requests
