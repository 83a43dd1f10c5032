"""WAV and FLAC of any usual rate as 16,000 samples a second of one channel, a step at a time.

Everything here blocks and belongs into a thread.
"""

from __future__ import annotations

import io
from math import ceil
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from msgspec import Struct

from control_plane.readers.faults import unusable
from control_plane.readers.speech.container import check_container
from control_plane.readers.speech.file import ObjectFile
from control_plane.readers.speech.segments import RATE, WINDOW

Samples = npt.NDArray[np.float32]

CONTEXT: Final = 64
"""Samples of the window before that a window begins with."""
MIN_RATE: Final = 8_000
MAX_RATE: Final = 192_000
MAX_CHANNELS: Final = 32
MAX_HOURS: Final = 24
"""Of a recording: FLAC makes days of silence out of a MiB, and a worker is busy with each hour."""
BLOCK_VALUES: Final = 131_072
"""Samples of all channels that are decoded at once."""
SUBTYPES: Final = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
TAIL_BYTES: Final = 65_536
"""What may lie behind the samples of a FLAC file: tags, and what the library has not looked at."""
_HOUR_S: Final = 3600


class Step(Struct, frozen=True):
    """Some windows, one after the other.

    Attributes:
        windows: Float32, little-endian: as many windows as a step has, the last ones silent if the
            recording has ended.
        used: Windows that are of the recording.
        done: Part of the recording that was decoded, 0 to 1.
    """

    windows: bytes
    used: int
    done: float


class Decoder:
    """Reads one recording from its beginning to its end.

    Attributes:
        duration_s: Of what was decoded until now, seconds.
    """

    def __init__(self, file: ObjectFile, windows: int, media_type: str | None = None) -> None:
        """Read the header.

        Args:
            file: The recording.
            windows: Of a step.
            media_type: What it was declared as; None if that is not known.

        Raises:
            TidegateError: OBJECT_UNUSABLE; whatever reading raises.
        """
        self._file = file
        self._windows = windows
        self._format = check_container(file, media_type)
        self._sound = self._opened()
        self._said = self._checked()
        self._block = BLOCK_VALUES // self._sound.channels
        self._decoded = 0
        rate = self._sound.samplerate
        self._resampler = (
            None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32")
        )
        self._waiting: list[Samples] = [np.zeros(CONTEXT, np.float32)]
        self._count = 0
        self._ended = False

    @property
    def duration_s(self) -> float:
        """Of what was decoded until now, seconds."""
        return self._decoded / int(self._sound.samplerate)

    def step(self) -> Step | None:
        """The next windows; None at the end.

        Raises:
            TidegateError: OBJECT_UNUSABLE; whatever reading raises.
        """
        wanted = self._windows * WINDOW
        while self._count < wanted and not self._ended:
            self._more()
        if not self._count:
            return None
        samples = np.concatenate(self._waiting)
        used = min(self._count, wanted)
        short = np.pad(samples[: CONTEXT + wanted], (0, wanted - used))
        views = np.lib.stride_tricks.sliding_window_view(short, CONTEXT + WINDOW)[::WINDOW]
        # What is left begins with the last samples of this step: the context of the next.
        self._waiting = [samples[wanted:]]
        self._count -= used
        return Step(
            np.ascontiguousarray(views).tobytes(), ceil(used / WINDOW), self._decoded / self._said
        )

    def close(self) -> None:
        """Let go of the file."""
        self._sound.close()

    def _opened(self) -> soundfile.SoundFile:
        try:
            # The library asks for no more of a file than ObjectFile has.
            return soundfile.SoundFile(cast("io.BufferedIOBase", self._file))
        except soundfile.LibsndfileError as error:
            self._file.check()
            raise self._faulty(error) from None

    def _checked(self) -> int:
        """Frames that the header promises."""
        sound = self._sound
        self._file.check()
        if sound.format not in {"WAV", "WAVEX", "FLAC"} or sound.subtype not in SUBTYPES:
            message = f"Samples of the kind {sound.subtype} are not read, only PCM, float and FLAC"
            raise unusable(message, kind=str(sound.subtype))
        if not MIN_RATE <= sound.samplerate <= MAX_RATE:
            message = f"{sound.samplerate} samples a second are not from {MIN_RATE} to {MAX_RATE}"
            raise unusable(message, rate=sound.samplerate)
        if not 1 <= sound.channels <= MAX_CHANNELS:
            message = (
                f"The recording has {sound.channels} channels, at most {MAX_CHANNELS} are read"
            )
            raise unusable(message, channels=sound.channels)
        if sound.frames == 0:
            raise unusable("The recording has no samples")
        if sound.frames > MAX_HOURS * _HOUR_S * sound.samplerate:
            duration_s = sound.frames / sound.samplerate
            message = f"The recording is {duration_s / _HOUR_S:.1f} h long, at most {MAX_HOURS}"
            raise unusable(message, duration_s=round(duration_s), limit_s=MAX_HOURS * _HOUR_S)
        return int(sound.frames)

    def _more(self) -> None:
        """Decode one block, mix its channels, and resample it."""
        block = self._read()
        self._decoded += len(block)
        if not np.isfinite(block).all():
            raise unusable(f"A sample is not finite, at {self.duration_s:.3f} s or before")
        self._ended = len(block) < self._block
        if self._ended:
            self._check_length()
        mixed = np.clip(block, -1, 1).mean(axis=1, dtype=np.float32)
        if self._resampler is not None:
            mixed = self._resampler.resample_chunk(mixed, last=self._ended)
        self._waiting.append(mixed)
        self._count += len(mixed)

    def _read(self) -> Samples:
        try:
            block: Samples = self._sound.read(self._block, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            self._file.check()
            raise self._faulty(error) from None
        self._file.check()
        return block

    def _check_length(self) -> None:
        if self._decoded != self._said:
            message = (
                f"The {self._format} file is cut short or corrupt: {self._decoded} of "
                f"{self._said} samples a channel can be read"
            )
            raise unusable(message, said=self._said, found=self._decoded)
        left = self._file.size - self._file.tell()
        if self._format == "FLAC" and left > TAIL_BYTES:
            message = f"The FLAC file goes on for {left} bytes behind the samples that it announces"
            raise unusable(message, said=self._said, left_bytes=left)

    def _faulty(self, error: soundfile.LibsndfileError) -> Exception:
        reason = str(error.error_string).rstrip(".")[:200]
        return unusable(f"The {self._format} file cannot be decoded: {reason}", reason=reason)
