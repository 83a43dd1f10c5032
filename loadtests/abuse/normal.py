"""Normal traffic, that which looks suspicious included."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from typing import Final

from control_plane.admission.abuse.seen import Outcome
from loadtests.abuse.material import WINE, Row, chinese, diabetes, text, title, wine, word
from loadtests.abuse.traffic import MINUTES, Actor, Request, Requests, jittered, stream, times


def _steady(rng: random.Random) -> Requests:
    return stream(rng, jittered(rng, 30), lambda: wine(rng))


def _busy(rng: random.Random) -> Requests:
    return stream(rng, jittered(rng, 300), lambda: wine(rng), end=40)


def _diurnal(rng: random.Random) -> Requests:
    peak = jittered(rng, 60)
    return stream(
        rng, lambda m: peak * (0.55 + 0.45 * math.sin(m / 24)), lambda: {"text": text(rng)}
    )


def _batch(rng: random.Random) -> Requests:
    trickle = stream(rng, 2, lambda: wine(rng))
    bulk = stream(rng, 600, lambda: wine(rng), 100, 110)
    return heapq.merge(trickle, bulk, key=lambda request: request.at)


def _nightly(rng: random.Random) -> Requests:
    """On top of a day's traffic, so that only the nights before explain it."""
    daily = stream(rng, 20, lambda: wine(rng))
    return heapq.merge(daily, _batch(rng), key=lambda request: request.at)


def _ramp(rng: random.Random) -> Requests:
    return stream(rng, lambda m: 2 * 2 ** (m / 18), lambda: diabetes(rng), end=130)


def _office(rng: random.Random) -> Requests:
    people = [_of(rng, person, jittered(rng, 8)) for person in range(4)]
    slips = (
        Request(at, None, Outcome.AUTH, -1, f"mistyped{number}")
        for number, at in enumerate(times(rng, 0.03))
    )
    return heapq.merge(*people, slips, key=lambda request: request.at)


def _of(rng: random.Random, person: int, rate: float) -> Iterator[Request]:
    for at in times(rng, rate):
        yield Request(at, {"text": text(rng)}, client=person)


def _buggy(rng: random.Random) -> Requests:
    for at in times(rng, jittered(rng, 40)):
        bad = rng.random() < 0.08
        yield Request(at, None if bad else diabetes(rng), Outcome.INVALID if bad else Outcome.OK)


def _what_if(rng: random.Random) -> Requests:
    """A person moves sliders: some sessions of some minutes."""
    for start in sorted(rng.uniform(0, MINUTES - 8) for _ in range(5)):
        row = diabetes(rng)
        for at in times(rng, 12, start, start + 3):
            name = rng.choice(sorted(row))
            row = row | {name: round(row[name] * rng.uniform(0.8, 1.2), 1)}
            yield Request(at, row)


def _analysts(rng: random.Random) -> Requests:
    """Ten people move sliders behind one key, all day."""
    return heapq.merge(*(_what_if(rng) for _ in range(10)), key=lambda request: request.at)


def _health_check(rng: random.Random) -> Requests:
    row = wine(rng)
    return stream(rng, 12, lambda: row)


def _benchmark(rng: random.Random) -> Requests:
    rows = [wine(rng) for _ in range(32)]
    return stream(rng, 400, lambda: rng.choice(rows), 20, 40)


def _evaluation(rng: random.Random) -> Requests:
    rows = [wine(rng) for _ in range(178)]
    turn = iter(range(1_000_000))
    return stream(rng, jittered(rng, 90), lambda: rows[next(turn) % len(rows)], end=60)


def _texts(rng: random.Random) -> Requests:
    return stream(rng, jittered(rng, 60), lambda: {"text": text(rng)})


def _chinese(rng: random.Random) -> Requests:
    return stream(rng, jittered(rng, 20), lambda: {"text": chinese(rng)})


def _titles(rng: random.Random) -> Requests:
    return stream(rng, jittered(rng, 30), lambda: {"text": title(rng)})


def _patients(rng: random.Random) -> Requests:
    return stream(rng, jittered(rng, 15), lambda: diabetes(rng))


def _retry_storm(rng: random.Random) -> Requests:
    base = jittered(rng, 60)
    for at in times(rng, lambda m: base * (6 if 60 <= m < 70 else 1)):
        down = 60 <= at / 60 < 68
        yield Request(at, None if down else wine(rng), Outcome.FAILED if down else Outcome.OK)


def _sensor(rng: random.Random) -> Requests:
    row = wine(rng)
    for at in times(rng, 20):
        row = row | {"hue": round(row["hue"] + rng.gauss(0, 0.01), 3)}
        yield Request(at, row)


def _notifications(rng: random.Random) -> Requests:
    places = [word(number) for number in range(60)]
    return stream(
        rng,
        jittered(rng, 20),
        lambda: {
            "text": f"Order {rng.randint(1, 99_999)} to {rng.choice(places)} was {_fate(rng)}"
        },
    )


def _fate(rng: random.Random) -> str:
    return rng.choice(("shipped", "delivered on time", "lost", "sent back by the customer"))


def _typing(rng: random.Random) -> Requests:
    """A field that asks again with each word that somebody types."""
    now = 0.0
    while now < 60 * MINUTES:
        now += rng.expovariate(1 / 60)
        words = text(rng).split()[:15]
        for length in range(1, len(words) + 1):
            now += rng.uniform(0.3, 1.5)
            yield Request(now, {"text": " ".join(words[:length])})


def _rollout(rng: random.Random) -> Requests:
    """A release sends a field under its old name for some minutes."""
    length = rng.uniform(5, 20)
    for at in times(rng, jittered(rng, 40)):
        bad = 70 <= at / 60 < 70 + length
        yield Request(at, None if bad else wine(rng), Outcome.INVALID if bad else Outcome.OK)


def _survey(rng: random.Random) -> Requests:
    return stream(
        rng, jittered(rng, 15), lambda: {f"question_{n}": rng.randint(1, 5) for n in range(10)}
    )


def _coarse(rng: random.Random) -> Requests:
    """Rows with values to a half: the few values come again and again."""
    return stream(rng, jittered(rng, 15), lambda: _rounded(wine(rng)))


def _rounded(row: Row) -> Row:
    return {name: round(2 * value / WINE[name][1]) / 2 for name, value in row.items()}


def _visitors(rng: random.Random) -> Requests:
    for at in times(rng, 1.5):
        yield Request(at, {"text": text(rng)}, client=-1)


_REQUESTS: Final = {
    "steady rows": _steady,
    "busy rows": _busy,
    "texts by time of day": _diurnal,
    "first bulk job": _batch,
    "a new client that grows": _ramp,
    "office behind one address": _office,
    "8 % invalid inputs": _buggy,
    "what-if, one person": _what_if,
    "what-if, ten people, one key": _analysts,
    "health check": _health_check,
    "benchmark, 32 payloads": _benchmark,
    "test set in a loop": _evaluation,
    "tweets": _texts,
    "Chinese texts": _chinese,
    "product titles": _titles,
    "patients": _patients,
    "retries in an outage": _retry_storm,
    "sensor that drifts": _sensor,
    "templated notifications": _notifications,
    "asks at each typed word": _typing,
    "faulty release, 5 to 20 minutes": _rollout,
    "survey, ordinal answers": _survey,
    "coarsely rounded rows": _coarse,
    "anonymous visitors": _visitors,
}

NORMAL: Final = (
    *(Actor(name, abusive=False, requests=make) for name, make in _REQUESTS.items()),
    Actor("nightly bulk job", abusive=False, requests=_nightly, busiest_hour=120.0),
)
"""Every kind of normal traffic."""
