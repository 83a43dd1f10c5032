"""Steps with the system of record: each within two seconds, or the jobs are not available."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.errors import TidegateError
from control_plane.jobs.layout import PREFIX
from control_plane.jobs.scripts import NAMES, Name, source
from control_plane.records.server import BROKEN, TIMEOUT_S

log = logging.getLogger(__name__)

_ONCE: Final = frozenset({"claim", "retry", "hand_back"})
"""Scripts that a repetition finds done by its own first try; all others may come twice."""

_T = TypeVar("_T")


def unavailable(message: str) -> TidegateError:
    """``JOBS_UNAVAILABLE``, to be tried again after a second."""
    return TidegateError(message, code="JOBS_UNAVAILABLE", headers={"retry-after": "1"})


@asynccontextmanager
async def reached() -> AsyncIterator[None]:
    """Around one step, which gets two seconds.

    Raises:
        TidegateError: JOBS_UNAVAILABLE if the server does not answer, or refuses because it is
            full, loading, a replica, or cannot write its file.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except (RedisError, *BROKEN, TimeoutError) as error:
        # The first word only: what follows may quote an argument.
        reason = str(error).split(" ", 1)[0][:32] if isinstance(error, RedisError) else ""
        log.warning("the server of jobs does not do a step",
                    extra={"error": type(error).__name__, "reason": reason})  # fmt: skip
        raise unavailable("The server that keeps the jobs is away or full") from error


class Steps:
    """The scripts and the reads of one server."""

    def __init__(self, server: redis.Redis) -> None:
        """Speak to a server.

        Args:
            server: The system of record; decodes nothing.
        """
        self.server: Any = server
        self._scripts = {name: server.register_script(source(name)) for name in NAMES}

    async def move(self, name: Name, values: dict[str, Any]) -> Any:
        """Run a script; one that may be repeated is, if its connection has broken.

        Args:
            name: Of the script.
            values: Its input.

        Raises:
            TidegateError: JOBS_UNAVAILABLE.
        """
        packed = msgspec.msgpack.encode(values)

        async def step() -> Any:
            return await self._scripts[name](keys=[PREFIX], args=[packed])

        if name in _ONCE:
            async with reached():
                return await step()
        return await self.again(step)

    async def again(self, step: Callable[[], Awaitable[_T]]) -> _T:
        """Take a step that may be repeated, once more if its connection has broken.

        Connections that a server has closed by ending are found only by using them; all that are
        idle go with the first.

        Raises:
            TidegateError: JOBS_UNAVAILABLE.
        """
        async with reached():
            try:
                return await step()
            except BROKEN:
                await self.server.connection_pool.disconnect(inuse_connections=False)
                return await step()
