"""From the probability of speech in each window to the segments in which somebody speaks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

WINDOW: Final = 512
"""Samples of a window."""
RATE: Final = 16_000
"""Samples a second."""
WINDOW_S: Final = WINDOW / RATE

HYSTERESIS: Final = 0.15
"""Speech ends where the probability is this much below what it began with."""
LATENESS_S: Final = 0.08
"""The model calls this much speech behind its end, in the median over synthetic speech, seconds."""
DECIMALS: Final = 6

Row = tuple[float, float, float]
"""Start and end, seconds to milliseconds, and mean probability."""


class Bounds(Struct, frozen=True, kw_only=True):
    """What counts as speech and as a pause.

    Attributes:
        threshold: Probability from which a window is speech.
        min_silence_s: Less silence than this is part of the speech around it, seconds. Each
            window counts by how certain its silence is: a window of probability 0 whole, one at
            the threshold not at all.
        min_speech_s: Shorter speech is none, seconds.
        pad_s: Put before and behind each segment, at most to the middle of a pause, seconds.
    """

    threshold: float
    min_silence_s: float
    min_speech_s: float
    pad_s: float


class _Found(Struct):
    """A segment while it grows: windows from ``first`` to before ``behind``."""

    first: int
    behind: int
    total: float


class Segmenter:
    """Takes probabilities as they come, and holds segments alone."""

    def __init__(self, bounds: Bounds) -> None:
        """Hear nothing yet.

        Args:
            bounds: What counts.
        """
        self._bounds = bounds
        self._exit = max(bounds.threshold / 2, bounds.threshold - HYSTERESIS)
        self._windows = 0
        self._found: list[_Found] = []
        self._open: _Found | None = None
        self._quiet: list[float] = []
        self._silence_s = 0.0

    def feed(self, probabilities: Iterable[float]) -> None:
        """Take the probabilities of the next windows."""
        for probability in probabilities:
            self._take(probability)
            self._windows += 1

    def segments(self, duration_s: float) -> list[Row]:
        """What was heard until now, in order and without overlaps.

        Args:
            duration_s: Of the recording; nothing reaches behind it.
        """
        found = [*self._found, *([self._open] if self._open is not None else [])]
        rows = [self._row(one, duration_s) for one in found]
        return self._padded([row for row in rows if row is not None], duration_s)

    def _take(self, probability: float) -> None:
        if self._open is None:
            if probability >= self._bounds.threshold:
                self._open = _Found(self._windows, self._windows + 1, probability)
            return
        if probability < self._exit or (self._quiet and probability < self._bounds.threshold):
            self._quiet.append(probability)
            self._silence_s += WINDOW_S * (1 - probability / self._bounds.threshold)
            if self._silence_s >= self._bounds.min_silence_s:
                self._found.append(self._open)
                self._open = None
                self._hush()
            return
        self._open.total += sum(self._quiet) + probability
        self._open.behind = self._windows + 1
        self._hush()

    def _hush(self) -> None:
        self._quiet, self._silence_s = [], 0.0

    def _row(self, found: _Found, duration_s: float) -> Row | None:
        start, end = found.first * WINDOW_S, found.behind * WINDOW_S
        # Speech that goes on to the end of the recording has no late end.
        is_cut = found is self._open and not self._quiet
        end = min(duration_s, end if is_cut else max(start + WINDOW_S, end - LATENESS_S))
        if end - start < self._bounds.min_speech_s:
            return None
        return start, end, found.total / (found.behind - found.first)

    def _padded(self, rows: list[Row], duration_s: float) -> list[Row]:
        pad, padded = self._bounds.pad_s, []
        for index, (start, end, confidence) in enumerate(rows):
            before = (start - rows[index - 1][1]) / 2 if index else start
            last = index + 1 == len(rows)
            behind = duration_s - end if last else (rows[index + 1][0] - end) / 2
            begins, ends = start - min(pad, before), end + min(pad, behind)
            padded.append((round(begins, 3), round(ends, 3), round(confidence, DECIMALS)))
        return padded
