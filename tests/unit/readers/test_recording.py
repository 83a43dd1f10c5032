"""Recordings decoded as a stream: every format, every lie of a header, and the thread's end."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from control_plane.errors import TidegateError
from control_plane.readers.speech.recording import opened_recording
from tests.unit.readers.memory import InMemory

Samples = npt.NDArray[np.float32]
WINDOWS = 32
RATE = 16_000


def tone(seconds: float, rate: int = RATE) -> Samples:
    moments = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * 440 * moments)).astype(np.float32)


def encoded(
    samples: Samples, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


async def decoded(data: bytes, media_type: str | None = None, most: int = 4096) -> Samples:
    """The samples of all windows, without the context that each begins with."""
    found = []
    async with opened_recording(InMemory(data, most), WINDOWS, media_type) as recording:
        while (step := await recording.step()) is not None:
            windows = np.frombuffer(step.windows, "<f4").reshape(WINDOWS, 576)
            assert np.array_equal(windows[1:, :64], windows[:-1, -64:])
            found.append(windows[: step.used, 64:].ravel())
    return np.concatenate(found)


async def refused(data: bytes, media_type: str | None = None) -> TidegateError:
    with pytest.raises(TidegateError) as caught:
        await decoded(data, media_type)
    assert caught.value.code == "OBJECT_UNUSABLE"
    return caught.value


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", name) for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
    + [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
)
async def test_every_kind_of_sample_is_the_same_sound(kind: str, subtype: str) -> None:
    found = await decoded(encoded(tone(2.5), RATE, kind, subtype))
    assert np.abs(found[: 2 * RATE] - tone(2.5)[: 2 * RATE]).max() < 0.01
    assert len(found) == -(-int(2.5 * RATE) // 512) * 512


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 192_000])
async def test_every_rate_is_the_same_sound(rate: int) -> None:
    found = await decoded(encoded(tone(1.5, rate), rate))
    middle = slice(RATE // 2, RATE)
    assert np.abs(found[middle] - tone(1.5)[middle]).max() < 0.01


async def test_channels_are_mixed() -> None:
    both = np.stack([tone(1), np.zeros(RATE, np.float32)], axis=1)
    found = await decoded(encoded(both))
    assert np.abs(found[:RATE] - tone(1) / 2).max() < 0.001


def patched(data: bytes, at: int, value: int, length: int = 4) -> bytes:
    return data[:at] + value.to_bytes(length, "little") + data[at + length :]


def with_total(data: bytes, total: int) -> bytes:
    """A FLAC file that says it has so many samples: 36 bits of its STREAMINFO."""
    high = bytes([data[21] & 0xF0 | total >> 32])
    return data[:21] + high + (total % 2**32).to_bytes(4, "big") + data[26:]


WAV = encoded(tone(4))
FLAC = encoded(np.random.default_rng(1).normal(0, 0.1, 8 * RATE).astype(np.float32), kind="FLAC")

FAULTY: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "neither"),
    "text": (lambda: b"hello world" * 50, "neither"),
    "ogg": (lambda: encoded(tone(1), RATE, "OGG", "VORBIS"), "neither"),
    "rf64": (lambda: encoded(tone(1), RATE, "RF64"), "neither"),
    "ulaw": (lambda: encoded(tone(1), RATE, "WAV", "ULAW"), "kind ULAW"),
    "adpcm": (lambda: encoded(tone(1), RATE, "WAV", "IMA_ADPCM"), "contradicts|kind IMA"),
    "wav of no samples": (lambda: encoded(tone(0)), "no samples"),
    "wav without data": (lambda: b"RIFF\x04\0\0\0WAVE", "no data chunk"),
    "flac of no samples": (lambda: with_total(FLAC, 0), "no samples"),
    "half a wav": (lambda: WAV[: len(WAV) // 2], "cut short"),
    "head of a wav": (lambda: WAV[:44], "cut short"),
    "half a flac": (lambda: FLAC[: len(FLAC) // 2], "cut short|cannot be decoded"),
    "head of a flac": (lambda: FLAC[:42], "cannot be decoded"),
    "data size too large": (lambda: patched(WAV, 40, 0x7FFFFFFF), "chunk 'data' has room"),
    "data size of a pipe": (lambda: patched(WAV, 40, 0xFFFFFFFF), "chunk 'data' has room"),
    "riff size too large": (lambda: patched(WAV, 4, 0xFFFFFFFF), "RIFF header has room"),
    "riff size too small": (lambda: patched(WAV, 4, 100), "RIFF header has room"),
    "no bytes a frame": (lambda: patched(WAV, 32, 0, 2), "contradicts itself"),
    "one bit": (lambda: patched(WAV, 34, 1, 2), "contradicts itself"),
    "no rate": (lambda: patched(WAV, 24, 0), "cannot be decoded"),
    "4 kHz": (lambda: encoded(tone(1, 4000), 4000), "4000 samples a second"),
    "384 kHz": (lambda: encoded(tone(1, 384_000), 384_000), "384000 samples a second"),
    "300 channels": (lambda: encoded(np.zeros((2000, 300), np.float32)), "300 channels"),
    "not a number": (
        lambda: encoded(np.full(RATE, np.nan, np.float32), subtype="FLOAT"), "not finite"),
    "flac with a hole": (
        lambda: FLAC[:30_000] + bytes(2000) + FLAC[32_000:], "cut short|cannot be decoded"),
    "flac that says more": (lambda: with_total(FLAC, 10**8), "cut short|cannot be decoded"),
    "flac that says less": (lambda: with_total(FLAC, 1000), "goes on"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
async def test_what_cannot_be_read_is_refused_with_what_is_wrong(name: str) -> None:
    build, said = FAULTY[name]
    error = await refused(build())
    assert re.search(said, error.message), error.message


@pytest.mark.parametrize("media_type", ["audio/flac", "text/plain"])
async def test_a_file_is_what_it_was_declared_as(media_type: str) -> None:
    assert "is a WAV file" in (await refused(WAV, media_type)).message
    await decoded(WAV, "audio/x-wav")


async def test_bytes_that_were_changed_end_in_an_answer() -> None:
    chance = np.random.default_rng(20240611)
    for base in (WAV[:20_000], WAV, FLAC):
        for turn in range(30):
            data = bytearray(base)
            for place in chance.integers(0, len(data) if turn % 2 else 80, 4):
                data[place] = chance.integers(256)
            [outcome] = await asyncio.gather(decoded(bytes(data)), return_exceptions=True)
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, TidegateError), repr(outcome)
                assert outcome.code == "OBJECT_UNUSABLE"


def decoders() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("decoder")]


async def test_nothing_is_held_of_what_was_read() -> None:
    opened = InMemory(encoded(tone(60)))
    async with opened_recording(opened, WINDOWS) as recording:
        await recording.step()
    assert opened.asked <= 262_144
    assert opened.total < opened.size / 2


async def drained(opened: InMemory) -> None:
    async with opened_recording(opened, WINDOWS) as recording:
        while await recording.step() is not None:
            pass


class Stuck(InMemory):
    """Its store answers once and never again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked_again = asyncio.Event()

    async def read(self, start: int, length: int) -> bytes:
        if start:
            self.asked_again.set()
            await asyncio.Event().wait()
        return await super().read(start, length)


async def test_a_store_that_hangs_does_not_keep_the_thread() -> None:
    stuck = Stuck(encoded(tone(60)))
    task = asyncio.create_task(drained(stuck))
    await stuck.asked_again.wait()
    assert decoders()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    for _ in range(500):
        if not decoders():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the decoder's thread goes on")


class Gone(InMemory):
    """Its store is away after the first block."""

    async def read(self, start: int, length: int) -> bytes:
        if start:
            raise TidegateError("away", code="UPLOADS_UNAVAILABLE")
        return await super().read(start, length)


async def test_what_reading_raises_is_told_as_it_is() -> None:
    with pytest.raises(TidegateError) as caught:
        await drained(Gone(encoded(tone(60))))
    assert caught.value.code == "UPLOADS_UNAVAILABLE"


async def test_a_recording_of_more_than_a_day_is_refused_by_its_header() -> None:
    of_a_day = await refused(with_total(FLAC, 86_400 * RATE))
    assert "limit_s" not in of_a_day.details
    longer = await refused(with_total(FLAC, 86_400 * RATE + 1))
    assert longer.details["limit_s"] == 86_400
