"""Objects for tests of readers."""

from __future__ import annotations

import asyncio


class InMemory:
    """An object in memory that gives less than asked for, as a store may.

    Attributes:
        size: Bytes that it says it has.
        asked: Bytes of the largest read.
        total: Bytes that were read.
    """

    def __init__(self, data: bytes, most: int = 1 << 30, size: int | None = None) -> None:
        self._data = data
        self._most = most
        self.size = len(data) if size is None else size
        self.asked = 0
        self.total = 0

    async def read(self, start: int, length: int) -> bytes:
        await asyncio.sleep(0)
        self.asked = max(self.asked, length)
        part = self._data[start : start + min(length, self._most)]
        self.total += len(part)
        return part
