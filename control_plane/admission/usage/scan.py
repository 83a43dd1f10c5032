"""The hashes of usage in bounded parts, and of a large day no more hours than a page needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Final

import redis.asyncio as redis

from control_plane.admission.usage.tallies import SLICE
from control_plane.records.server import reached

LARGE: Final = 4 * SLICE
"""Fields of a day beyond which rows of hours are read some hours at a time."""
_SETS: Final = 256


class _Seen:
    """Names that were told, in sets so small that none takes long to grow or to be freed."""

    def __init__(self) -> None:
        self._sets: list[set[bytes]] = [set() for _ in range(_SETS)]

    def add(self, name: bytes) -> bool:
        """True if it was not told before."""
        some = self._sets[hash(name) % _SETS]
        if name in some:
            return False
        some.add(name)
        return True

    async def forget(self) -> None:
        """Free one set at a time; others have their turn in between."""
        while self._sets:
            self._sets.pop()
            await asyncio.sleep(0)


async def scan(
    server: redis.Redis, key: str, pattern: str | None
) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
    """Fields of a hash, each once, in parts of at most :data:`SLICE`.

    The server decides on requests between the parts, and the event loop goes round.

    Args:
        server: Its replies are bytes.
        key: Of the hash.
        pattern: Glob that names match; None for all.

    Raises:
        AdmissionUnavailable: If the server does not answer a part within two seconds.
    """
    seen = _Seen()
    cursor = 0
    part: Any
    while True:
        async with reached():
            cursor, part = await server.hscan(key, cursor, match=pattern, count=SLICE)
        # A hash that grows meanwhile tells some of its fields twice.
        fields = [field for field in part.items() if seen.add(field[0])]
        # COUNT is a hint: a hash in one piece comes whole.
        for begin in range(0, len(fields), SLICE):
            yield fields[begin : begin + SLICE]
            await asyncio.sleep(0)
        if cursor == 0:
            break
    await seen.forget()


def windows(hours: Sequence[int]) -> Iterator[str]:
    """Globs of the fields of successive hours of a day, each of more hours than the one before.

    A page that is full after the first hour costs one of them, and a whole day costs seven: each
    makes the server look at all the fields of the day.

    Args:
        hours: Some that follow one another, of 0 to 23; at least one.
    """
    first, last, width = hours[0], hours[-1], 1
    while first <= last:
        tens, digit = divmod(first, 10)
        end = min(first + width - 1, last, tens * 10 + 9)
        yield f"{tens}[{digit}-{end % 10}]|*"
        first = end + 1
        width *= 2
