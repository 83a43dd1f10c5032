import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.errors import TidegateError
from control_plane.uploads.parts import PART_BYTES, PartReader, opened_in_parts
from control_plane.uploads.store import unusable

CONTENT = random.Random(5).randbytes(3 * PART_BYTES + 77)
PLACES = st.integers(0, len(CONTENT) + 5)


class Source:
    """Counts what is fetched, and how many parts are fetched at once."""

    def __init__(self) -> None:
        self.fetched: list[int] = []

    async def fetch(self, start: int, length: int) -> bytes:
        assert length <= PART_BYTES
        self.fetched.append(start // PART_BYTES)
        await asyncio.sleep(0)
        return CONTENT[start : start + length]


@settings(max_examples=30, deadline=None)
@given(reads=st.lists(st.tuples(PLACES, st.integers(0, 2 * PART_BYTES)), max_size=8))
async def test_any_reads_in_any_order_give_the_content(reads: list[tuple[int, int]]) -> None:
    async with opened_in_parts(len(CONTENT), Source().fetch) as reader:
        for start, length in reads:
            assert await reader.read(start, length) == CONTENT[start : start + length]


async def test_reading_on_fetches_each_part_once_and_one_ahead() -> None:
    source = Source()
    async with opened_in_parts(len(CONTENT), source.fetch) as reader:
        await reader.read(0, 10)
        await asyncio.sleep(0.01)
        assert source.fetched == [0, 1]
        for start in range(0, len(CONTENT), 100_000):
            await reader.read(start, 100_000)
    assert source.fetched == [0, 1, 2, 3]


async def test_reading_here_and_there_fetches_nothing_ahead() -> None:
    source = Source()
    async with opened_in_parts(len(CONTENT), source.fetch) as reader:
        await reader.read(2 * PART_BYTES, 10)
        await asyncio.sleep(0.01)
    assert source.fetched == [2]


async def test_a_failure_ahead_is_told_to_who_reads_there() -> None:
    async def fetch(start: int, length: int) -> bytes:
        if start:
            raise unusable("It was replaced since it was looked at")
        return CONTENT[:length]

    async with opened_in_parts(len(CONTENT), fetch) as reader:
        assert await reader.read(0, PART_BYTES) == CONTENT[:PART_BYTES]
        with pytest.raises(TidegateError, match="replaced"):
            await reader.read(PART_BYTES, 1)


async def test_closing_ends_what_is_fetched_ahead() -> None:
    cancelled = asyncio.Event()

    async def fetch(start: int, length: int) -> bytes:
        if not start:
            return CONTENT[:length]
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    async with opened_in_parts(len(CONTENT), fetch) as reader:
        await reader.read(0, 1)
        await asyncio.sleep(0)
    assert cancelled.is_set()


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, -1)])
async def test_a_place_before_the_beginning_is_a_slip(start: int, length: int) -> None:
    with pytest.raises(ValueError, match="place"):
        await PartReader(10, Source().fetch).read(start, length)
