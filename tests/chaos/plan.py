"""What is done in a run, all drawn from a seed: the jobs that are asked for, and the blows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

TENANTS: Final = ("aurora", "borealis", "cirrus")
FAR_S: Final = 3600
"""A start that does not come during a run, seconds."""
EXPIRY_S: Final = 1
ITEMS: Final = 5
"""Of a batch."""


class Kind(StrEnum):
    """What becomes of a job, if nothing is lost."""

    PLAIN = "plain"
    SLOW = "slow"
    STEADY = "steady"
    """Longer than a lease: it lives by its worker's signs of life."""
    DELAYED = "delayed"
    BATCH = "batch"
    SPOILT = "spoilt"
    """A batch that fails whole because of one item."""
    CANCELED = "canceled"
    EXPIRING = "expiring"


_SHARES: Final = {
    Kind.PLAIN: 68,
    Kind.SLOW: 14,
    Kind.STEADY: 1,
    Kind.DELAYED: 3,
    Kind.BATCH: 5,
    Kind.SPOILT: 3,
    Kind.CANCELED: 4,
    Kind.EXPIRING: 2,
}


class Errand(Struct, frozen=True):
    """A job that a client wants.

    Attributes:
        number: From 0; its input follows from it.
        tenant: For whom.
        kind: What it is meant to become.
        impatient_s: Seconds after which the client gives up its first try, which may have been
            kept all the same; 0 if it waits.
        ms: How long the model takes for it.
    """

    number: int
    tenant: str
    kind: Kind
    impatient_s: float
    ms: int

    @property
    def key(self) -> str:
        """Its Idempotency-Key."""
        return f"errand-{self.number}"

    @property
    def headers(self) -> dict[str, str]:
        """Of its submission, those that tell it from others."""
        expiry = {"cancel-after": str(EXPIRY_S)} if self.kind is Kind.EXPIRING else {}
        return {"idempotency-key": self.key, **expiry}

    @property
    def body(self) -> dict[str, Any]:
        """Of its submission."""
        given: dict[str, Any] = {"n": self.number, "ms": self.ms}
        match self.kind:
            case Kind.SLOW | Kind.STEADY | Kind.CANCELED:
                return {"model": "lengthy", "inputs": given}
            case Kind.DELAYED:
                return {"model": "brisk", "inputs": given, "start_after_s": 1}
            case Kind.EXPIRING:
                return {"model": "brisk", "inputs": given, "start_after_s": FAR_S}
            case Kind.BATCH | Kind.SPOILT:
                items: list[dict[str, Any]] = [{"n": self.number + add} for add in range(ITEMS)]
                if self.kind is Kind.SPOILT:
                    items[-1] = {"n": "no number"}
                options = {"return_errors": "individual" if self.kind is Kind.BATCH else "all"}
                return {"model": "brisk", "task": "batch", "inputs": items, "options": options}
        return {"model": "brisk", "inputs": given}

    @property
    def results(self) -> list[int]:
        """The numbers that it comes to when it is completed."""
        count = ITEMS if self.kind is Kind.BATCH else 1
        return [2 * (self.number + add) + 1 for add in range(count)]


class Aim(StrEnum):
    """What a blow hits, and how."""

    WORKER = "worker killed"
    PAUSE = "worker stopped past its lease"
    RECORDS = "system of record killed"
    HTTP = "control plane killed"


_EVERY_S: Final = {Aim.WORKER: 1.0, Aim.RECORDS: 7.0, Aim.HTTP: 10.0, Aim.PAUSE: 9.0}


class Blow(Struct, frozen=True, order=True):
    """One stroke.

    Attributes:
        at_s: Seconds from the beginning.
        aim: What it hits.
        which: Of several, the one with this number.
    """

    at_s: float
    aim: Aim
    which: int


def errands(seed: int, count: int) -> list[Errand]:
    """The jobs of a run.

    Args:
        seed: Equal seeds make equal runs.
        count: How many.
    """
    source = random.Random(f"errands {seed}")
    kinds, shares = zip(*_SHARES.items(), strict=True)
    return [_errand(source, number, source.choices(kinds, shares)[0]) for number in range(count)]


def _errand(source: random.Random, number: int, kind: Kind) -> Errand:
    takes = {Kind.SLOW: (200, 900), Kind.STEADY: (2500, 3500), Kind.CANCELED: (500, 1500)}
    return Errand(
        number=number,
        tenant=source.choice(TENANTS),
        kind=kind,
        impatient_s=source.uniform(0.001, 0.02) if source.random() < 0.05 else 0.0,
        ms=source.randint(*takes.get(kind, (0, 20))),
    )


def blows(seed: int, workers: int) -> Iterator[Blow]:
    """The blows of a run in their order, without end.

    Args:
        seed: Equal seeds make equal runs.
        workers: How many there are.
    """
    source = random.Random(f"blows {seed}")

    def later(aim: Aim, since_s: float) -> Blow:
        wait_s = _EVERY_S[aim] * source.uniform(0.6, 1.4)
        return Blow(since_s + wait_s, aim, source.randrange(workers))

    upcoming = [later(aim, 0.0) for aim in Aim]
    while True:
        blow = min(upcoming)
        upcoming.remove(blow)
        upcoming.append(later(blow.aim, blow.at_s))
        yield blow
