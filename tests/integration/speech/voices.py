"""Synthetic speech with known pauses, in three languages (espeak-ng)."""

from __future__ import annotations

import io
import subprocess
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile
from msgspec import Struct

Samples = npt.NDArray[np.float32]

RATE: Final = 22_050
"""Of espeak-ng's voices."""
PHRASES: Final = {
    "en": (
        "the train leaves at ten", "nobody told us why it was late",
        "a small boat crossed the harbour",
        "she opened the window and looked outside", "we should have been there by now",
        "please send the report before friday", "seven people waited in the rain",
        "he never answered my question", "turn left behind the old bridge",
    ),
    "de": (
        "der Zug kommt heute nicht an", "wir haben lange auf dich gewartet",
        "das Fenster steht den ganzen Tag offen", "morgen fahren alle Kinder an den See",
        "niemand wusste warum es so kalt war", "bitte legen Sie das Buch auf den Tisch",
        "der alte Mann geht langsam nach Hause", "sieben Leute standen im Regen",
        "die Suppe schmeckt sehr gut",
    ),
    "es": (
        "el tren sale a las diez", "nadie nos dijo por qué llegaba tarde",
        "ella abrió la ventana y miró hacia fuera", "un barco pequeño cruzó el puerto",
        "tendríamos que haber llegado ya", "mande el informe antes del viernes",
        "siete personas esperaban bajo la lluvia", "la cocina huele a pan recién hecho",
        "nunca contestó a mi pregunta",
    ),
}  # fmt: skip
LANGUAGES: Final = tuple(PHRASES)
SHORTEST_PAUSE_S: Final = 0.3


class Speech(Struct, frozen=True):
    """A recording, and where somebody speaks in it.

    Attributes:
        samples: Of one channel, :data:`RATE` a second.
        segments: Start and end of each phrase, seconds.
        language: Of all phrases.
    """

    samples: Samples
    segments: list[tuple[float, float]]
    language: str


@cache
def _phrase(language: str, text: str, words_a_minute: int) -> Samples:
    """A phrase without the silence around it."""
    command = ["espeak-ng", "-v", language, "-s", str(words_a_minute), "--stdout", text]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    # To a pipe it writes a header without sizes: 44 bytes, then 16-bit samples.
    spoken = np.frombuffer(data[44:], "<i2").astype(np.float32) / 32_768
    loud = np.flatnonzero(np.abs(spoken) > 0.01 * np.abs(spoken).max())
    return spoken[loud[0] : loud[-1] + 1]


def speech(seed: int, phrases: int = 6) -> Speech:
    """Phrases with pauses of 0.3 to 1.5 s; the language changes with the seed."""
    chance = np.random.default_rng(seed)
    language = LANGUAGES[seed % len(LANGUAGES)]
    parts = [np.zeros(int(RATE * chance.uniform(0.3, 1)), np.float32)]
    at, segments = len(parts[0]), []
    for _ in range(phrases):
        text = str(chance.choice(PHRASES[language]))
        spoken = _phrase(language, text, int(chance.integers(140, 190)))
        pause = np.zeros(int(RATE * chance.uniform(SHORTEST_PAUSE_S, 1.5)), np.float32)
        segments.append((at / RATE, (at + len(spoken)) / RATE))
        parts += [spoken, pause]
        at += len(spoken) + len(pause)
    return Speech(np.concatenate(parts), segments, language)


def with_noise(samples: Samples, seed: int, decibels: float = 10) -> Samples:
    """White noise under speech, by the power of the speech."""
    power = float(np.mean(samples[samples != 0] ** 2))
    deviation = np.sqrt(power / 10 ** (decibels / 10))
    noise = np.random.default_rng(seed).normal(0, deviation, len(samples))
    return (samples + noise).astype(np.float32)


def file_of(
    samples: Samples, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    """A WAV or FLAC file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


class Score(Struct, frozen=True):
    """What was heard against what was said.

    Attributes:
        missed: Pauses between phrases that lie within a segment.
        invented: Pauses between segments that lie within a phrase.
        starts: By how much each start is late, seconds, of phrases that are one segment.
        ends: By how much each end is late, seconds, likewise.
    """

    missed: int
    invented: int
    starts: list[float]
    ends: list[float]


def scored(heard: list[list[float]], said: list[tuple[float, float]]) -> Score:
    """Compare segments with phrases."""
    segments = [(start, end) for start, end, _ in heard]
    wanted, found = _pauses(said), _pauses(segments)
    pairs = [
        (segment, phrase)
        for phrase in said
        for segment in segments
        if _share(segment, phrase) > 0
        and sum(_share(other, phrase) > 0 for other in segments) == 1
        and sum(_share(segment, other) > 0 for other in said) == 1
    ]
    return Score(
        sum(all(_share(pause, other) <= 0 for other in found) for pause in wanted),
        sum(all(_share(pause, other) <= 0 for other in wanted) for pause in found),
        [segment[0] - phrase[0] for segment, phrase in pairs],
        [segment[1] - phrase[1] for segment, phrase in pairs],
    )


def _pauses(segments: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(one[1], other[0]) for one, other in pairwise(segments)]


def _share(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Seconds that two stretches have in common."""
    return min(one[1], other[1]) - max(one[0], other[0])
