"""An object as a file for a decoder that runs in a thread."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import CancelledError, Future
from threading import Lock
from typing import Final

from control_plane.types import OpenObject

BLOCK_BYTES: Final = 262_144


class ObjectFile:
    """Reads and seeks; one block of the object is in memory.

    The decoder's library cannot pass exceptions on: what went wrong is kept, the file says that
    it ends, and :meth:`check` raises it.
    """

    def __init__(self, opened: OpenObject, loop: asyncio.AbstractEventLoop) -> None:
        """Begin at the beginning.

        Args:
            opened: The object.
            loop: Where it is read.
        """
        self.size = opened.size
        self._opened = opened
        self._loop = loop
        self._at = 0
        self._start = 0
        self._block = b""
        self._error: BaseException | None = None
        self._lock = Lock()
        self._reading: Future[bytes] | None = None
        self._closed = False

    def tell(self) -> int:
        """The place, bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; it stays within the object."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = min(max(0, base + offset), self.size)
        return self._at

    def read(self, length: int = -1) -> bytes:
        """At most so many bytes from the place on; none at the end and after an error."""
        wanted = self.size - self._at if length < 0 else min(length, self.size - self._at)
        parts = []
        while wanted > 0:
            part = self._part(wanted)
            if not part:
                break
            parts.append(part)
            self._at += len(part)
            wanted -= len(part)
        return b"".join(parts)

    def check(self) -> None:
        """Raise what reading raised, if it did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the read that is under way, and let no other begin; from any thread."""
        with self._lock:
            self._closed = True
            reading = self._reading
        if reading is not None:
            reading.cancel()

    def _part(self, wanted: int) -> bytes:
        """What the block in memory has from the place on; another block if it has nothing."""
        if not self._start <= self._at < self._start + len(self._block):
            self._start, self._block = self._at, self._fetched()
        offset = self._at - self._start
        return self._block[offset : offset + wanted]

    def _fetched(self) -> bytes:
        with self._lock:
            if self._closed or self._error is not None:
                return b""
            reading = asyncio.run_coroutine_threadsafe(
                self._opened.read(self._at, BLOCK_BYTES), self._loop
            )
            self._reading = reading
        try:
            return reading.result()
        except (Exception, CancelledError) as error:  # whatever it is, the library cannot carry it
            self._error = error
            return b""
        finally:
            self._reading = None
