"""Names to addresses, in threads of their own: the system's resolver cannot be interrupted."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Final

MAX_LOOKUPS: Final = 128
"""Names that may be looked up at once; the threads of those that hang are counted, too."""

Lookup = Callable[[str], list[str]]
"""All addresses of a name; OSError without any. It may block."""


class NameUnknown(Exception):
    """A name has no addresses now, or they could not be asked for."""


def system_lookup(host: str) -> list[str]:
    """What the system's resolver says, the preferred first (RFC 6724); a zone id stays in it."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Looks names up; calls for a name that is being looked up share the answer.

    A name whose servers hang holds one thread, however often it is asked for, and none of the
    event loop's, which others wait for.
    """

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        """Look up with a function."""
        self._lookup = lookup
        self._pending: dict[str, asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str, timeout_s: float) -> list[str]:
        """All addresses of a name.

        Args:
            host: A DNS name.
            timeout_s: Seconds that this may take.

        Raises:
            NameUnknown: If it has none, they do not come in time, or too many hang already.
        """
        future = self._pending.get(host)
        if future is None:
            if len(self._pending) >= MAX_LOOKUPS:
                raise NameUnknown
            future = self._pending[host] = asyncio.get_running_loop().create_future()
            threading.Thread(
                target=self._run, args=(host, future), name="lookup of a name", daemon=True
            ).start()
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout_s)
        except (TimeoutError, OSError, UnicodeError):
            raise NameUnknown from None

    def _run(self, host: str, future: asyncio.Future[list[str]]) -> None:
        answer: list[str] | Exception
        try:
            answer = self._lookup(host)
        except (OSError, UnicodeError) as error:
            answer = error
        loop = future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._done, host, future, answer)

    def _done(
        self, host: str, future: asyncio.Future[list[str]], answer: list[str] | Exception
    ) -> None:
        del self._pending[host]
        if isinstance(answer, Exception):
            future.set_exception(answer)
            future.exception()
        else:
            future.set_result(answer)
