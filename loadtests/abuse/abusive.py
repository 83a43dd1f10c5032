"""Abusive traffic, that which hides included."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Final

from control_plane.admission.abuse.seen import Outcome
from loadtests.abuse.material import WINE, Row, gibberish, text, uniform_wine, wine, word
from loadtests.abuse.traffic import Actor, Inputs, Request, Requests, jittered, stream, times

_LEVELS: Final = 12


def _grid(rng: random.Random) -> Iterator[Row]:
    """All combinations of levels of three features, the rest of a row as it is."""
    names = rng.sample(sorted(WINE), 3)
    base = wine(rng)
    levels = [[_level(name, step) for step in range(_LEVELS)] for name in names]
    for values in itertools.cycle(list(itertools.product(*levels))):
        yield base | dict(zip(names, values, strict=True))


def _shuffled(rng: random.Random) -> Iterator[Row]:
    """The same grid in no order."""
    points = list(itertools.islice(_grid(rng), _LEVELS**3))
    rng.shuffle(points)
    return itertools.cycle(points)


def _lattice(rng: random.Random) -> Iterator[Row]:
    """Points of a grid over all features."""
    while True:
        yield {name: _level(name, rng.randrange(6) * 2) for name in WINE}


def _level(name: str, step: int) -> float:
    mean, spread, _ = WINE[name]
    return round(max(0.1, mean + spread * (4 * step / (_LEVELS - 1) - 2)), 3)


def _one_at_a_time(rng: random.Random) -> Iterator[Row]:
    while True:
        base = wine(rng)
        for name in WINE:
            for step in range(20):
                yield base | {name: round(_level(name, 0) * (1 + step / 10), 4)}


def _prefixes(rng: random.Random) -> Iterator[Inputs]:
    while True:
        words = [*text(rng).split(), *text(rng).split()]
        for length in range(1, len(words) + 1):
            yield {"text": " ".join(words[:length])}


def _swaps(rng: random.Random) -> Iterator[Inputs]:
    """A text in which each word is replaced in turn, to learn what it weighs."""
    while True:
        words = text(rng).split()
        for place, swap in itertools.product(range(len(words)), range(6)):
            other = word(rng.randrange(5000)) if swap else ""
            yield {"text": " ".join([*words[:place], other, *words[place + 1 :]])}


def _dictionary(rng: random.Random) -> Iterator[Inputs]:
    for place in itertools.count(rng.randrange(10_000)):
        yield {"text": word(place)}


def _framed(rng: random.Random) -> Iterator[Inputs]:
    for place in itertools.count(rng.randrange(10_000)):
        yield {"text": f"this is really very {word(place)} today"}


def _gibberish(rng: random.Random) -> Iterator[Inputs]:
    while True:
        yield {"text": gibberish(rng)}


def _uniform(rng: random.Random) -> Iterator[Inputs]:
    while True:
        yield uniform_wine(rng)


def _mixed(rng: random.Random, natural: float) -> Iterator[Inputs]:
    sweep = _one_at_a_time(rng)
    while True:
        yield wine(rng) if rng.random() < natural else next(sweep)


def _at(rng: random.Random, rate: float, inputs: Iterator[Inputs]) -> Requests:
    return stream(rng, rate, lambda: next(inputs))


def _stuffing(rng: random.Random) -> Requests:
    for number, at in enumerate(times(rng, jittered(rng, 30))):
        yield Request(at, None, Outcome.AUTH, -1, f"guess{number}")


def _slow_stuffing(rng: random.Random) -> Requests:
    for number, at in enumerate(times(rng, 0.1)):
        yield Request(at, None, Outcome.AUTH, -1, f"guess{number}")


def _farm(rng: random.Random) -> Requests:
    for at in times(rng, 60):
        yield Request(at, wine(rng), client=rng.randrange(150))


def _fuzzing(rng: random.Random) -> Requests:
    for at in times(rng, jittered(rng, 60)):
        bad = rng.random() < 0.7
        yield Request(at, None if bad else wine(rng), Outcome.INVALID if bad else Outcome.OK)


def _jump(rng: random.Random) -> Requests:
    base = jittered(rng, 40)
    return stream(rng, lambda m: base * (20 if 80 <= m < 90 else 1), lambda: wine(rng))


def _creep(rng: random.Random) -> Requests:
    """A jump in steps, each of which becomes the baseline of the next."""
    base = jittered(rng, 3)
    return stream(rng, lambda m: base * 6 ** min(3, m // 40), lambda: wine(rng), end=130)


def _split(rng: random.Random) -> Requests:
    """A sweep dealt out to six keys."""
    sweep = _one_at_a_time(rng)
    keys = [
        (Request(at, None, client=key) for at in times(rng, 10)) for key in range(6)
    ]  # fmt: skip
    for request in heapq.merge(*keys, key=lambda request: request.at):
        yield request._replace(inputs=next(sweep))


def _thief(
    name: str, make: Callable[[random.Random], Iterator[Inputs]], rate: float, *rules: str
) -> Actor:
    def requests(rng: random.Random) -> Requests:
        return _at(rng, jittered(rng, rate), make(rng))

    return Actor(name, abusive=True, requests=requests, rules=rules)


ABUSIVE: Final = (
    _thief("grid, in order", _grid, 60, "enumeration"),
    _thief("grid, shuffled", _shuffled, 60, "enumeration"),
    _thief("one feature at a time", _one_at_a_time, 60, "enumeration"),
    _thief("the same, slow and low (6 a minute)", _one_at_a_time, 6, "enumeration"),
    _thief("the same, very slow (1 a minute)", _one_at_a_time, 1, "enumeration"),
    _thief("the same, half natural inputs", lambda r: _mixed(r, 0.5), 30, "enumeration"),
    _thief("the same, 80 % natural inputs", lambda r: _mixed(r, 0.8), 30, "enumeration"),
    Actor("the same, dealt out to six keys", abusive=True, requests=_split, rules=("enumeration",)),
    _thief("random points of a grid over all features", _lattice, 60, "enumeration"),
    _thief("random points of the input space", _uniform, 60, "enumeration"),
    _thief("texts that grow", _prefixes, 40, "enumeration"),
    _thief("one word replaced", _swaps, 40, "enumeration"),
    _thief("dictionary in a frame", _framed, 40, "enumeration"),
    _thief("dictionary", _dictionary, 40, "wordlist"),
    _thief("random tokens", _gibberish, 30, "wordlist"),
    Actor("credential stuffing", abusive=True, requests=_stuffing, rules=("keys", "errors")),
    Actor(
        "credential stuffing, one in 10 minutes",
        abusive=True,
        requests=_slow_stuffing,
        rules=("keys",),
    ),
    Actor("150 keys from one address", abusive=True, requests=_farm, rules=("keys",)),
    Actor("fuzzing, 70 % invalid", abusive=True, requests=_fuzzing, rules=("errors",)),
    Actor("sudden 20-fold rate", abusive=True, requests=_jump, rules=("jump",)),
    Actor("the same in steps of six", abusive=True, requests=_creep, rules=("jump",)),
)
"""Every kind of abusive traffic."""
