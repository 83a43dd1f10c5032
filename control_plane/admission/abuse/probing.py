"""Recognises inputs that enumerate, as those of somebody who copies a model do.

Natural inputs differ from each other in many places at once and share their common words. Who
explores a model on purpose changes one value at a time, walks a grid, swaps one word of a text,
or sends words that never come again. :class:`Habits` remembers of a client only what telling
these apart needs: hashes, salted by the process, in tables of fixed size. It forgets what lies
long back, and it never holds an input.

A repeated input is evidence of nothing: health checks and benchmarks send the same again and
again. Digits in texts count as equal, so that ``Order 17 is late`` and ``Order 18 is late`` do.
"""

from __future__ import annotations

import re
from array import array
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MAX_FIELDS: Final = 64
MAX_WORDS: Final = 64
MAX_TEXT: Final = 2048
RECENT: Final = 8
_TABLE: Final = 1024
_WORD_TABLE: Final = 256
_WARM_UP: Final = 20
_ALTERNATING: Final = 200
_SHARED_WORDS: Final = 3
_SHARED_VALUES: Final = 2
_TELLING: Final = 10
"""Whole numbers below are often equal by chance: counts, grades, codes."""
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
# Scripts that put no spaces between words count by the character.
_WORD: Final = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
_DIGITS: Final = re.compile(r"\d+")


class Signs(NamedTuple):
    """What some inputs were like, in numbers.

    Attributes:
        sampled: Inputs looked at.
        swept: Those that differ from an earlier one as the steps of a sweep do.
        words: Words of the texts among them.
        familiar: Those words that the client's texts had before.
    """

    sampled: int = 0
    swept: int = 0
    words: int = 0
    familiar: int = 0


class _Input(NamedTuple):
    """An input as hashes.

    Attributes:
        fields: Hash of each field.
        texts: Hashes of the words of each text.
        telling: Fields whose being equal in two inputs is no coincidence.
        numbers: Hash of name and value of each number.
    """

    fields: dict[str, int]
    texts: dict[str, tuple[int, ...]]
    telling: frozenset[str]
    numbers: dict[str, int]


_Changes = list[tuple[_Input, list[str]]]
"""Recent inputs, and the fields in which the present one differs."""


class _Table:
    """Hashes met lately: places by twos, of which the one met longer ago is given away."""

    __slots__ = ("_mask", "_slots")

    def __init__(self, size: int) -> None:
        self._slots = array("I", bytes(4 * size))
        self._mask = size - 2

    def met(self, value: int) -> bool:
        """True if the hash was met; it is from now on."""
        slots, place, tag = self._slots, value & self._mask, (value >> 20) & 0xFFFFFFFF or 1
        latest = slots[place]
        if latest == tag:
            return True
        known = slots[place + 1] == tag
        slots[place], slots[place + 1] = tag, latest
        return known


class Habits:
    """What is remembered of the inputs of one client; at most about 20 KiB."""

    __slots__ = ("_changed", "_inputs", "_looked_at", "_recent", "_texts", "_values", "_words")

    def __init__(self) -> None:
        self._recent: deque[_Input] = deque(maxlen=RECENT)
        self._inputs = _Table(_TABLE)
        self._values: _Table | None = None
        self._words: _Table | None = None
        self._changed: dict[str, int] = {}
        self._looked_at = 0
        self._texts = 0

    def study(self, inputs: Mapping[str, Any]) -> Signs:
        """Compare an input with the client's earlier ones, then remember it.

        Args:
            inputs: As the contract's fields; what is nested counts as one value.
        """
        current = _reduced(inputs)
        self._looked_at += 1
        if self._inputs.met(hash(frozenset(current.fields.items()))):
            return Signs(sampled=1)
        changes = [(past, _changed_fields(past, current)) for past in self._recent]
        if not all(changed for _, changed in changes):
            return Signs(sampled=1)
        known = self._known_values(current)
        unknown_words = self._unknown_words(current)
        swept = self._is_step(current, changes, known, unknown_words)
        swept = swept or _is_on_grid(current, changes, known)
        words, familiar = self._words_of(current, unknown_words)
        self._recent.append(current)
        return Signs(1, int(swept), words, familiar)

    def _is_step(
        self, current: _Input, changes: _Changes, known: set[str], unknown: set[int]
    ) -> bool:
        """True if only one value differs from a recent input, as a step of a sweep does.

        A sensor whose one reading drifts is no sweep: a sweep goes on to the next field, or comes
        back to values that it had in other combinations. Nor is a template with a few words in
        its gap: a sweep puts in words that are not known yet.
        """
        steps = {
            changed[0]
            for past, changed in changes
            if len(changed) == 1 and _tells(past, current, changed[0], unknown)
        }
        if len(self._changed) > MAX_FIELDS:
            self._changed.clear()
        for name in steps:
            self._changed[name] = self._looked_at
        return any(name in current.texts or name in known for name in steps) or any(
            other not in steps and self._looked_at - last <= _ALTERNATING
            for other, last in self._changed.items()
            if steps
        )

    def _known_values(self, current: _Input) -> set[str]:
        """Fields whose number was met before in the same field."""
        if not current.numbers:
            return set()
        if self._values is None:
            self._values = _Table(_TABLE)
        return {name for name, value in current.numbers.items() if self._values.met(value)}

    def _unknown_words(self, current: _Input) -> set[int]:
        """Words that were not met lately."""
        if not current.texts:
            return set()
        if self._words is None:
            self._words = _Table(_WORD_TABLE)
        words = {word for text in current.texts.values() for word in text}
        return {word for word in words if not self._words.met(word)}

    def _words_of(self, current: _Input, unknown: set[int]) -> tuple[int, int]:
        """Number of words, and of those met before; the first texts only teach them."""
        if not current.texts:
            return 0, 0
        self._texts += 1
        if self._texts <= _WARM_UP:
            return 0, 0
        words = [word for text in current.texts.values() for word in text]
        return len(words), sum(word not in unknown for word in words)


def _changed_fields(past: _Input, current: _Input) -> list[str]:
    """Fields whose values differ; all of them if the inputs have not the same fields."""
    before, now = past.fields, current.fields
    if before.keys() != now.keys():
        return list(now)
    return [name for name, value in now.items() if before[name] != value]


def _is_on_grid(current: _Input, changes: _Changes, known: set[str]) -> bool:
    """True if most of a recent input stayed and the rest are values met before."""
    least = max(_SHARED_VALUES, len(current.telling) / 2)
    return any(
        known.issuperset(changed) and len(current.telling.difference(changed)) >= least
        for _, changed in changes
    )


def _tells(past: _Input, current: _Input, changed: str, unknown: set[int]) -> bool:
    """True if it is no coincidence that two inputs differ in one field only."""
    if changed in current.texts and changed in past.texts:
        return _one_word(past.texts[changed], current.texts[changed], unknown)
    return len(current.telling - {changed}) >= _SHARED_VALUES


def _one_word(past: tuple[int, ...], current: tuple[int, ...], unknown: set[int]) -> bool:
    """True if one word was put in, taken out or replaced by an unknown one; others stayed."""
    shorter, longer = sorted((len(past), len(current)))
    if longer - shorter > 1:
        return False
    head = 0
    while head < shorter and past[head] == current[head]:
        head += 1
    tail = 0
    while tail < shorter - head and past[-1 - tail] == current[-1 - tail]:
        tail += 1
    if longer - head - tail > 1 or head + tail < _SHARED_WORDS:
        return False
    return longer > shorter or current[head] in unknown


def _reduced(inputs: Mapping[str, Any]) -> _Input:
    fields: dict[str, int] = {}
    texts: dict[str, tuple[int, ...]] = {}
    telling: list[str] = []
    numbers: dict[str, int] = {}
    for name, value in _flat(inputs):
        if isinstance(value, str):
            words = _DIGITS.sub("0", value[:MAX_TEXT].lower())
            texts[name] = tuple(map(hash, _WORD.findall(words)[:MAX_WORDS]))
            fields[name] = hash(texts[name])
        else:
            fields[name] = hash(value)
            numbers[name] = hash((name, value))
            if abs(value) >= _TELLING or value % 1 != 0:
                telling.append(name)
    return _Input(fields, texts, frozenset(telling), numbers)


def _flat(inputs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The scalars of an input: items of a list each by itself, what lies deeper as one."""
    flat: list[tuple[str, Any]] = []
    for name, value in inputs.items():
        if isinstance(value, (list, tuple)):
            head = value[: MAX_FIELDS - len(flat)]
            flat += [(f"{name}[{place}]", _scalar(item)) for place, item in enumerate(head)]
        else:
            flat.append((name, _scalar(value)))
        if len(flat) >= MAX_FIELDS:
            break
    return flat


def _scalar(value: object) -> str | float | int:
    if isinstance(value, (str, int, float)):
        return value
    return hash(repr(value)[:MAX_TEXT])
