"""Requests of one actor: a client, or several that act together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from control_plane.admission.abuse.seen import Outcome

MINUTES: Final = 150
"""Length of a replay; rates are requests a minute."""

Inputs = Mapping[str, Any]


class Request(NamedTuple):
    """A request and how it ended.

    Attributes:
        at: Seconds since the start.
        inputs: Its inputs; None if they could not be read.
        outcome: How it ended.
        client: Number of the key within the actor; -1 without one.
        credential: Which refused key it carried; empty if none was refused.
    """

    at: float
    inputs: Inputs | None
    outcome: Outcome = Outcome.OK
    client: int = 0
    credential: str = ""


Requests = Iterator[Request]


class Actor(NamedTuple):
    """A kind of traffic.

    Attributes:
        name: In words.
        abusive: The label.
        requests: What such an actor sends.
        rules: The rules that are there for it; none for normal traffic.
        busiest_hour: Requests a minute in the busiest hour of the days before.
    """

    name: str
    abusive: bool
    requests: Callable[[random.Random], Requests]
    rules: tuple[str, ...] = ()
    busiest_hour: float = 0.0


def times(
    rng: random.Random,
    rate: float | Callable[[float], float],
    start: float = 0,
    end: float = MINUTES,
) -> Iterator[float]:
    """Random moments, seconds.

    Args:
        rng: Where chance comes from.
        rate: Moments a minute, or a function of the minute.
        start: First minute.
        end: Last minute.
    """  # fmt: skip
    now = start * 60
    while True:
        now += rng.expovariate(max(0.05, rate(now / 60) if callable(rate) else rate) / 60)
        if now >= end * 60:
            return
        yield now


def stream(
    rng: random.Random,
    rate: float | Callable[[float], float],
    make: Callable[[], Inputs],
    start: float = 0,
    end: float = MINUTES,
) -> Requests:
    """Answered requests at random moments."""  # fmt: skip
    return (Request(at, make()) for at in times(rng, rate, start, end))


def jittered(rng: random.Random, base: float) -> float:
    """A rate for one actor: half to double the kind's."""
    return float(base * 2 ** rng.uniform(-1, 1))
