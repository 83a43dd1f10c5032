"""A text cut into sentences while it is read.

The rules are those of Unicode's sentence boundaries (UAX #29), simplified and tailored to plain
text: a line break within a paragraph is a space, an empty line ends a sentence; a full stop ends
none before a lower-case letter, behind a usual abbreviation, an initial or a number of up to two
digits, as in the German for "on the 3rd of October".
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from control_plane.readers.text import characters
from control_plane.types import OpenObject

_NEWLINE: Final = "(?>\r\n?|\n|\x85|\u2028)"
_BREAK: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)"  # noqa: RUF001 - typographic quotes
    "|[。！？]++[」』”’）]*+"  # noqa: RUF001 - full-width marks
    rf"|{_NEWLINE}[^\S\n\r]*{_NEWLINE}|\u2029"
)
"""Takes time in proportion to the text: a run of full stops is read from its beginning only."""
_SPACE: Final = re.compile(r"\s*")
_LAST_WORD: Final = re.compile(r"(\w[\w.]*)\.$")
_ABBREVIATIONS: Final = frozenset(
    {
        *("mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "e.g", "i.e", "jr", "fig"),
        *("vol", "cf", "inc", "ltd", "sr", "sra", "srta", "ud", "uds", "pág", "núm", "z.b"),
        *("u.a", "d.h", "bzw", "usw", "nr", "hr", "fr", "str", "ca", "evtl", "ggf", "inkl", "vgl"),
    }
)
_LOOK_BACK: Final = 16
"""Longest abbreviation that is looked for, characters."""


class Sentence(Struct, frozen=True):
    """A sentence, or a part of one that was too long.

    Attributes:
        start: Character of the text where it begins, from 0.
        end: Character behind its last.
        text: Without space around it.
    """

    start: int
    end: int
    text: str


class Splitter:
    """Takes a text in parts; between them it holds less than the longest sentence."""

    def __init__(self, most: int) -> None:
        """Begin a text.

        Args:
            most: Characters of a sentence; longer ones are cut at a space, or where they are.
        """
        self._most = most
        self._held = ""
        self._base = 0

    def feed(self, text: str) -> Iterator[Sentence]:
        """The sentences that are complete with these characters."""
        return self._taken(self._held + text, final=False)

    def close(self) -> Iterator[Sentence]:
        """What is left at the end of the text."""
        return self._taken(self._held, final=True)

    def _taken(self, text: str, *, final: bool) -> Iterator[Sentence]:
        at = _skipped(text, 0)
        while at < len(text):
            end = self._end(text, at, final=final)
            if end is None:
                break
            kept = text[at:end].rstrip()
            yield Sentence(self._base + at, self._base + at + len(kept), kept)
            at = _skipped(text, end)
        self._held = text[at:]
        self._base += at

    def _end(self, text: str, at: int, *, final: bool) -> int | None:
        """Where the sentence that begins at ``at`` ends; None if that is not known yet."""
        limit = at + self._most
        for found in _BREAK.finditer(text[at : limit + 1]):
            place = at + found.end()
            behind = _skipped(text, place)
            if place > limit or (behind == len(text) and not final):
                break
            if behind == len(text) or _parts(found, text[behind]):
                return place
        if len(text) > limit:
            return _cut(text, at, limit)
        return len(text) if final else None


def _parts(found: re.Match[str], following: str) -> bool:
    """True if what was found in a sentence ends it before the character that follows."""
    if found[0][0] not in ".…":
        return True
    if following.islower():
        return False
    if found[0] != ".":
        return True
    word = _LAST_WORD.search(found.string[max(0, found.end() - _LOOK_BACK) : found.end()])
    return word is None or not _is_short(word[1])


def _is_short(word: str) -> bool:
    if word.isdecimal():
        return len(word) <= 2
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper())


def _cut(text: str, at: int, limit: int) -> int:
    """The last space that leaves no more than a sentence may have, or the limit itself."""
    for place in range(limit, at, -1):
        if text[place].isspace():
            return place
    return limit


def _skipped(text: str, at: int) -> int:
    """The next character that is no space; the end if there is none."""
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


async def sentences(opened: OpenObject, most: int) -> AsyncGenerator[Sentence, None]:
    """The sentences of a text in UTF-8, of at most ``most`` characters each.

    Raises:
        TidegateError: As :func:`characters`.
    """
    splitter = Splitter(most)
    async with aclosing(characters(opened)) as texts:
        async for text in texts:
            for sentence in splitter.feed(text):
                yield sentence
    for sentence in splitter.close():
        yield sentence
