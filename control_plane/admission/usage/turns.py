"""How many reads of usage a process has under way: it serves predictions, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from control_plane.errors import Overloaded

AT_ONCE: Final = 2
"""Reads under way in a process at most."""
WAIT_S: Final = 2.0
"""What another one waits for its turn at most, seconds."""


class Turns:
    """Lets two tenants read, each once; others wait in the order in which they came."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        """Begin with all turns free.

        Args:
            wait_s: Seconds that one waits at most, > 0.
        """
        self._free = asyncio.Semaphore(AT_ONCE)
        self._own: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wait_s = wait_s

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Around one read.

        Args:
            tenant: Who reads: all the reads that it asks for take one of the turns.

        Raises:
            Overloaded: If there is no turn in time.
        """
        own = self._own.setdefault(tenant, asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._wait_s):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._free)
            except TimeoutError:
                raise Overloaded("Too many reads of usage are under way") from None
            yield
