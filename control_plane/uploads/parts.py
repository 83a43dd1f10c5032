"""An object in parts of 1 MiB: reads at any place from a few of them, the next fetched ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

PART_BYTES: Final = 1_048_576
KEPT: Final = 2
"""Parts that were read and are kept; with the one fetched ahead no more than three are in memory,
beside what a read returns."""


class PartReader:
    """Reads an object; for one reader at a time.

    Attributes:
        size: Bytes.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], Awaitable[bytes]]) -> None:
        """Read nothing yet.

        Args:
            size: Bytes of the object.
            fetch: Gives so many bytes from a place on, of one part at most, or raises.
        """
        self.size = size
        self._fetch = fetch
        self._parts: dict[int, bytes] = {}
        self._ahead: tuple[int, asyncio.Task[bytes]] | None = None

    async def read(self, start: int, length: int) -> bytes:
        """At most so many bytes from a place on; fewer at the end.

        Raises:
            ValueError: If the place or the length is negative.
            TidegateError: As the fetching of a part does.
        """
        if start < 0 or length < 0:
            raise ValueError("an object is read from a place on, some bytes of it")
        end = min(start + length, self.size)
        pieces = []
        while start < end:
            part = await self._part(start // PART_BYTES)
            offset = start % PART_BYTES
            pieces.append(part[offset : offset + end - start])
            start += len(pieces[-1])
        return b"".join(pieces)

    async def close(self) -> None:
        """Give up what was fetched ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[1].cancel()
            await asyncio.gather(ahead[1], return_exceptions=True)

    async def _part(self, index: int) -> bytes:
        part = self._parts.get(index)
        if part is None:
            ahead, self._ahead = self._ahead, None
            if ahead is not None and ahead[0] == index:
                part = await ahead[1]
            else:
                self._ahead = ahead
                await self.close()
                part = await self._fetched(index)
            self._keep(index, part)
            self._look_ahead(index + 1)
        return part

    def _keep(self, index: int, part: bytes) -> None:
        self._parts[index] = part
        while len(self._parts) > KEPT:
            del self._parts[next(iter(self._parts))]

    def _look_ahead(self, index: int) -> None:
        is_next = index - 2 in self._parts or index == 1
        if is_next and index not in self._parts and index * PART_BYTES < self.size:
            self._ahead = index, asyncio.ensure_future(self._fetched(index))

    async def _fetched(self, index: int) -> bytes:
        start = index * PART_BYTES
        return await self._fetch(start, min(PART_BYTES, self.size - start))


@asynccontextmanager
async def opened_in_parts(
    size: int, fetch: Callable[[int, int], Awaitable[bytes]]
) -> AsyncIterator[PartReader]:
    """A :class:`PartReader` that is closed at the end."""
    reader = PartReader(size, fetch)
    try:
        yield reader
    finally:
        await reader.close()
