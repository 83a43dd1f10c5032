from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from control_plane.local.output import LINE_BYTES, PENDING_BYTES, Channel, Output


class Collected:
    """Reads what an Output writes."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.data = b""

    @contextmanager
    def output(self, *names: str, coloured: bool = False) -> Iterator[Output]:
        output = Output(self.writing, names, coloured=coloured)
        reader = threading.Thread(target=self._read)
        reader.start()
        try:
            yield output
        finally:
            output.close(30)
            os.close(self.writing)
            reader.join(30)
            os.close(self.reading)

    def _read(self) -> None:
        while chunk := os.read(self.reading, 1 << 16):
            self.data += chunk

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()


@pytest.fixture
def collected() -> Collected:
    return Collected()


def test_prefixes_are_aligned(collected: Collected) -> None:
    with collected.output("a", "valkey-limits") as output:
        output.channel("a").feed(b"one\n")
        output.channel("valkey-limits").feed(b"two\n")
        output.say("three")
    assert collected.lines == [
        "a             | one",
        "valkey-limits | two",
        "tidegate      | three",
    ]


def test_colour_ends_before_the_text(collected: Collected) -> None:
    with collected.output("a", coloured=True) as output:
        output.channel("a").feed(b"text\n")
    (line,) = collected.lines
    assert line.startswith("\x1b[36m")
    assert line.endswith("\x1b[0mtext")


@pytest.mark.parametrize("cut", range(12))
def test_lines_are_whole_however_they_arrive(collected: Collected, cut: int) -> None:
    text = b"one\ntwo\nsix"
    with collected.output("a") as output:
        channel = output.channel("a")
        channel.feed(text[:cut])
        channel.feed(text[cut:])
        channel.end()
    assert [line.split("| ")[1] for line in collected.lines] == ["one", "two", "six"]


@pytest.mark.parametrize("step", [1000, LINE_BYTES + 1, 1 << 20])
def test_a_long_line_is_cut_and_the_next_is_not(collected: Collected, step: int) -> None:
    text = b"x" * 100_000 + b"\nnext\n"
    with collected.output("a") as output:
        channel = output.channel("a")
        for start in range(0, len(text), step):
            channel.feed(text[start : start + step])
        channel.end()
    long, following = collected.lines
    assert long.endswith("x [line cut]")
    assert len(long) < LINE_BYTES + 50
    assert following.endswith("| next")


def test_control_characters_do_not_reach_the_terminal(collected: Collected) -> None:
    with collected.output("a") as output:
        output.channel("a").feed(b"\x1b[2Jcleared\x07\r\nta\tb\n")
    assert [line.split("| ")[1] for line in collected.lines] == ["[2Jcleared", "ta\tb"]


def test_a_filter_rewrites_and_leaves_out(collected: Collected) -> None:
    with collected.output("a") as output:
        channel = output.channel("a", lambda line: None if "noise" in line else line.upper())
        channel.feed(b"noise\nkept\n")
    assert [line.split("| ")[1] for line in collected.lines] == ["KEPT"]


def test_the_last_line_is_remembered(collected: Collected) -> None:
    with collected.output("a") as output:
        channel: Channel = output.channel("a")
        channel.feed(b"first\nlast words\n\n")
        channel.end()
        assert channel.last_line == "last words"


def test_what_a_slow_reader_cannot_take_is_dropped_and_counted() -> None:
    reading, writing = os.pipe()
    output = Output(writing, ["a"], coloured=False)
    channel = output.channel("a")
    line = b"x" * 1023 + b"\n"
    lines = 4 * PENDING_BYTES // len(line)
    for _ in range(lines):
        channel.feed(line)
    data = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 1 << 16):
            data.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    output.close(30)
    os.close(writing)
    reader.join(30)
    os.close(reading)
    arrived = data.decode().splitlines()
    (note,) = [line for line in arrived if "dropped" in line]
    dropped = int(note.split("| ")[1].split()[0])
    assert dropped > lines // 2
    assert len(arrived) - 1 + dropped == lines


def test_a_reader_that_went_away_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(writing, ["a"], coloured=False)
    output.say("to nobody")
    output.close(30)
    output.say("still nobody")
    os.close(writing)
