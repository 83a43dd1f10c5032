"""The scripts of jobs: each ``<name>.lua`` of this folder, with ``common.lua`` before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

_T = TypeVar("_T")

Name = Literal[
    "submit", "claim", "beat", "finish", "retry", "hand_back", "cancel", "sweep", "forget", "page"
]
NAMES: Final[tuple[Name, ...]] = (
    "submit", "claim", "beat", "finish", "retry", "hand_back", "cancel", "sweep", "forget", "page"
)  # fmt: skip
MOST: Final = 200
"""Jobs that one call of a script speaks of at most: the server does nothing else meanwhile."""

MOST_BYTES: Final = 4_194_304
"""Payload of one call at most, unless a single job has more."""

_FOLDER: Final = Path(__file__).parent


def source(name: Name) -> str:
    """Text of a script; its first line, which says what it may do, stays the first."""
    common = (_FOLDER / "common.lua").read_text()
    flags, _, body = (_FOLDER / f"{name}.lua").read_text().partition("\n")
    return f"{flags}\n{common}\n{body}"


def parts(items: Sequence[_T], weigh: Callable[[_T], int] = lambda _: 0) -> Iterator[list[_T]]:
    """Items in their order, as many together as one call takes.

    Args:
        items: What the calls speak of.
        weigh: Bytes of an item's payload.
    """
    part: list[_T] = []
    size = 0
    for item in items:
        weight = weigh(item)
        if part and (len(part) == MOST or size + weight > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += weight
    if part:
        yield part
