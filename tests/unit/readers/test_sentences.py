"""Texts cut into sentences: where they end, where they stand, and how much is held."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import TidegateError
from control_plane.readers.sentences import Sentence, Splitter, sentences
from control_plane.readers.text import PART_BYTES
from tests.unit.readers.memory import InMemory

TEXTS = st.text(alphabet="aB1 .!?…\n\r\t\"'Éß。」\u2029Mr", max_size=120)


def split(text: str, most: int = 1000, size: int = 10_000) -> list[Sentence]:
    splitter = Splitter(most)
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    found = [sentence for part in parts for sentence in splitter.feed(part)]
    return [*found, *splitter.close()]


def texts(text: str, most: int = 1000) -> list[str]:
    return [sentence.text for sentence in split(text, most)]


CASES = {
    "It rained. We left! Why? Because.": ["It rained.", "We left!", "Why?", "Because."],
    "Mr. Smith met Dr. Jones at 5 p.m. on Monday.": [
        "Mr. Smith met Dr. Jones at 5 p.m. on Monday."
    ],
    "Wir kommen am 3. Oktober. Das gilt z.B. hier.": [
        "Wir kommen am 3. Oktober.", "Das gilt z.B. hier."],
    "It was built in 2019. Then it fell.": ["It was built in 2019.", "Then it fell."],
    "¿Qué tal? Muy bien… gracias.": ["¿Qué tal?", "Muy bien… gracias."],
    "J. R. Tolkien wrote.": ["J. R. Tolkien wrote."],
    'She said "Stop!" Then she left.': ['She said "Stop!"', "Then she left."],
    "A title\n\nA line\nthat goes on": ["A title", "A line\nthat goes on"],
    "A title\r\n\r\nA line\r\nthat goes on": ["A title", "A line\r\nthat goes on"],
    "雨です。行きます。": ["雨です。", "行きます。"],
    "  \n ": [],
    "version 2.5 is out": ["version 2.5 is out"],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_a_sentence_ends_where_a_reader_would_say(text: str) -> None:
    assert texts(text) == CASES[text]


@pytest.mark.parametrize("text", CASES)
def test_a_text_in_parts_is_the_same_text(text: str) -> None:
    for size in (1, 2, 3, 5):
        assert split(text, size=size) == split(text)


@pytest.mark.parametrize("text", CASES)
def test_offsets_are_those_of_the_text(text: str) -> None:
    assert all(text[one.start : one.end] == one.text for one in split(text))


def test_a_long_sentence_is_cut_at_a_space() -> None:
    assert texts("aaa bbb ccc ddd", most=8) == ["aaa bbb", "ccc ddd"]
    assert texts("a" * 20, most=8) == ["a" * 8, "a" * 8, "a" * 4]


@given(TEXTS, st.integers(1, 40), st.integers(1, 30))
def test_nothing_is_lost_and_the_parts_do_not_matter(text: str, most: int, size: int) -> None:
    found = split(text, most, size)
    assert found == split(text, most)
    assert all(0 < len(one.text) <= most for one in found)
    assert all(text[one.start : one.end] == one.text for one in found)
    kept = "".join(one.text for one in found)
    assert "".join(kept.split()) == "".join(text.split())


def test_a_text_without_an_end_is_not_held() -> None:
    splitter = Splitter(100)
    held = 0
    for _ in range(50):
        list(splitter.feed("x." * 5000 + " " * 5000))
        held = max(held, len(splitter._held))
    assert held <= 100


async def read(data: bytes) -> list[str]:
    return [one.text async for one in sentences(InMemory(data, most=7), 1000)]


async def test_a_byte_order_mark_is_no_character() -> None:
    data = "\ufeffÄpfel. Übel.".encode()
    found = [one async for one in sentences(InMemory(data, most=1), 1000)]
    assert [(one.start, one.end, one.text) for one in found] == [
        (0, 6, "Äpfel."), (7, 12, "Übel.")]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        ("Grüße ".encode() * 5 + b"\xff", 40),
        ("Grüße".encode("latin-1"), 2),
        (b"abcdef\xe2\x82", 6),
        (b"plain\x00text", 5),
        ("text".encode("utf-16"), 0),
    ],
)
async def test_what_is_no_text_is_refused_with_its_place(data: bytes, byte: int) -> None:
    with pytest.raises(TidegateError) as caught:
        await read(data)
    assert caught.value.code == "OBJECT_UNUSABLE"
    assert caught.value.details["byte"] == byte


async def test_an_object_that_ends_early_is_refused() -> None:
    with pytest.raises(TidegateError, match="ends before its size"):
        await read_short()


async def read_short() -> None:
    async for _ in sentences(InMemory(b"One. Two.", size=100), 1000):
        pass


@pytest.mark.parametrize("text", ["." * 2**18, ("!" * 999 + "x") * 2**8, ('."' * 499 + "x") * 2**8])
def test_what_never_ends_a_sentence_takes_time_in_proportion_to_its_length(text: str) -> None:
    began = time.process_time()
    assert len(split(text, size=65_536)) >= len(text) // 1001
    assert time.process_time() - began < 5  # tens of seconds if marks were read again from each on


async def test_the_rest_of_a_run_that_was_cut_ends_its_sentence() -> None:
    assert [len(one) for one in texts("." * 1500 + " Next.")] == [1000, 500, 5]


class AtHand:
    """An object whose reads never wait, as those of a part that is in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    async def read(self, start: int, length: int) -> bytes:
        return self._data[start : start + length]


async def test_others_have_their_turn_while_a_text_is_read() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    try:
        async for _ in sentences(AtHand(b"One more. " * 2**16), 1000):
            pass
    finally:
        beside.cancel()
    assert turns >= 10 * 2**16 // PART_BYTES
