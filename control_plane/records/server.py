"""One record at a time on the system of record: read, listed, changed at the revision read."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import redis.asyncio as redis
from msgspec import Struct
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisError

from control_plane.errors import AdmissionUnavailable, TidegateError
from control_plane.records.pages import Page, cursor, last_of
from control_plane.records.record import Record
from control_plane.records.transaction import Actor, Change, Moved, moved, not_found

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 2.0
"""What one step may take before the system of record counts as away, seconds."""

BROKEN: Final = (BrokenConnection, OSError, RuntimeError)
"""How a connection that breaks shows; uvloop calls a write to one that is closed by then a
RuntimeError."""

ATTEMPTS: Final = 32
"""How often a change is decided anew when another came first."""

_SCRIPT: Final = Path(__file__).with_name("write_record.lua").read_text()

_R = TypeVar("_R", bound=Record)
_T = TypeVar("_T")


class Kind(Struct, Generic[_R], frozen=True):
    """A kind of records.

    Attributes:
        type: Its shape.
        record: The key of the one with an id.
        ids: What its ids look like.
    """

    type: type[_R]
    record: Callable[[str], str]
    ids: re.Pattern[str]


@asynccontextmanager
async def reached() -> AsyncIterator[None]:
    """Around one step with the system of record, which gets two seconds.

    Raises:
        AdmissionUnavailable: If it does not answer.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except (RedisError, *BROKEN, TimeoutError) as error:
        log.warning("the system of record is away", extra={"error": type(error).__name__})
        raise AdmissionUnavailable("The system of record cannot be reached") from error


async def read(server: redis.Redis, step: Callable[[], Awaitable[_T]]) -> _T:
    """One step that only reads, taken again if its connection has broken.

    Connections that a server has closed by ending are found only by using them; all that are
    idle go with the first. A change is never taken again: it may have been made.

    Args:
        server: What the step reads.
        step: Reads.

    Raises:
        AdmissionUnavailable: If the server does not answer within two seconds.
    """
    async with reached():
        try:
            return await step()
        except BROKEN:
            await server.connection_pool.disconnect(inuse_connections=False)
            return await step()


class RecordServer:
    """The system of record, whatever the kind of the record."""

    def __init__(self, server: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        """Keep records on a server."""
        self._server = server
        self._script = server.register_script(_SCRIPT)
        self._clock = clock

    def now(self) -> int:
        """Epoch seconds."""
        return int(self._clock())

    async def read(self, kind: Kind[_R], name: str) -> _R:
        """A record, or ``NOT_FOUND``."""
        if not kind.ids.fullmatch(name):
            raise not_found()
        text = await read(self._server, lambda: self._server.get(kind.record(name)))
        if text is None:
            raise not_found()
        return msgspec.json.decode(text, type=kind.type)

    async def find(self, kind: Kind[_R], name: str) -> _R | None:
        """A record, or None if there is none."""
        try:
            return await self.read(kind, name)
        except TidegateError as error:
            if error.code != "NOT_FOUND":
                raise
            return None

    def dated(self, record: _R, before: _R | None) -> _R:
        """A record with the revision and the times that follow on the one before."""
        now = self.now()
        return msgspec.structs.replace(
            record,
            revision=1 if before is None else before.revision + 1,
            created_at=now if before is None else before.created_at,
            updated_at=now,
        )

    async def read_at(self, kind: Kind[_R], name: str, expected: int | None) -> _R:
        """A record, or ``REVISION_CONFLICT`` if it is at another revision than expected."""
        found = await self.read(kind, name)
        if expected is not None and found.revision != expected:
            raise moved(expected, found.revision)
        return found

    async def page(self, kind: Kind[_R], index: str, after: str | None, limit: int) -> Page[_R]:
        """Records of an index in the order of their ids."""
        start = "-" if after is None else "(" + last_of(after, kind.ids)
        names = await self._members(index, start, limit + 1)
        records = await self._several(kind, names[:limit])
        return Page(records, cursor(names[limit - 1]) if len(names) > limit else None)

    async def all(self, kind: Kind[_R], index: str) -> list[_R]:
        """Every record of an index."""
        return await self._several(kind, await self._members(index, "-", None))

    async def create(self, record: _R, decide: Callable[[_R], Change], by: Actor) -> _R:
        """Make a record at revision 1."""
        made = self.dated(record, None)
        await self.commit(decide(made), by)
        return made

    async def change(
        self,
        kind: Kind[_R],
        name: str,
        edit: Callable[[_R], _R],
        decide: Callable[[_R, _R], Change],
        by: Actor,
        expected: int | None,
    ) -> _R:
        """Change a record; an edit that changes nothing leaves no trace."""

        async def step() -> _R:
            before = await self.read_at(kind, name, expected)
            edited = edit(before)
            if edited == before:
                return before
            after = self.dated(edited, before)
            await self.commit(decide(before, after), by)
            return after

        return await repeated(step, expected)

    async def commit(self, change: Change, by: Actor) -> None:
        """Make a change, or raise the refusal of the first check that does not hold."""
        keys, plan = change.encode(by)
        async with reached():
            reply: Any = await self._script(keys=keys, args=[plan])
        place, found = reply
        if place:
            raise change.checks[place - 1].refusal(found)

    async def _members(self, index: str, start: str, count: int | None) -> list[str]:
        first = None if count is None else 0
        members = await read(
            self._server,
            lambda: self._server.zrangebylex(index, start, "+", start=first, num=count),
        )
        return [text if isinstance(text, str) else text.decode() for text in members]

    async def _several(self, kind: Kind[_R], names: list[str]) -> list[_R]:
        if not names:
            return []
        keys = [kind.record(name) for name in names]
        texts = await read(self._server, lambda: self._server.mget(keys))
        return [msgspec.json.decode(text, type=kind.type) for text in texts if text is not None]


async def repeated(step: Callable[[], Awaitable[_T]], expected: int | None) -> _T:
    """Take a step again while others come first; at a stated revision once."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await step()
        except Moved:
            if expected is not None or attempt == ATTEMPTS:
                raise
        await asyncio.sleep(random.uniform(0, 0.002 * attempt))  # noqa: S311 - only spreads
    raise AssertionError
