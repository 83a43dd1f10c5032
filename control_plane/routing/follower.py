"""The models' states as this process knows them: read, and read again with every change.

::

    system of record ─► push, or every 10 s ─► Follower ─► on_change(states)

With the system of record away, what is known stays; it is read again, a second after each failure.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.errors import TidegateError
from control_plane.records.pushes import Changes
from control_plane.records.record import Record
from control_plane.routing import layout
from control_plane.routing.state import ModelState
from control_plane.routing.store import Found, ModelStore
from control_plane.tasks import end

log = logging.getLogger(__name__)

READ_ALL_S: Final = 10.0
"""Seconds after which everything is read even if no change was told."""
RETRY_S: Final = 1.0
READ_S: Final = 2.0

_MODEL: Final = "model:"
_STATE: Final = msgspec.json.Decoder(ModelState)
_RECORD: Final = msgspec.json.Decoder(Record)


class Follower:
    """Keeps the states of every model current, within a second of any change.

    Attributes:
        states: By name; a state is never replaced by an older one.
        is_known: True once every model has been read.
    """

    def __init__(
        self,
        records: redis.Redis,
        on_change: Callable[[Mapping[str, ModelState]], None],
        on_refresh: Callable[[], None],
    ) -> None:
        """Say who listens; both are called on the event loop and must not block it.

        Args:
            records: The system of record.
            on_change: Told all states, once they are known and whenever one changes.
            on_refresh: Told to read the model repository again. What was refreshed before this
                follower first read is not told: read the repository after ``is_known``, or
                after :meth:`start`.
        """
        self.states: Mapping[str, ModelState] = {}
        self.is_known = False
        self._records = records
        self._store = ModelStore(records)
        self._on_change = on_change
        self._on_refresh = on_refresh
        self._changes = Changes(records, self._heard, self._missed)
        self._stale: set[str] = set()
        self._all_stale = True
        self._read_all_at = -math.inf
        self._repository: int | None = None
        self._unseeded: dict[str, Found] = {}
        self._woken = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_away = False

    async def start(self) -> None:
        """Begin to listen and to read; waits for nothing."""
        loop = asyncio.get_running_loop()
        follow = loop.create_task(self._changes.follow())
        self._tasks = (follow, loop.create_task(self._run()))

    async def close(self) -> None:
        """Stop; what is known stays."""
        await end(self._tasks)
        self._tasks = ()

    def seed(self, found: Mapping[str, Found]) -> None:
        """Have the versions kept that the system of record has not seen, as soon as it answers.

        Every process may do so: one of them writes.

        Args:
            found: What the repository has, by model; takes the place of what was given before.
        """
        self._unseeded = dict(found)
        self._woken.set()

    def _heard(self, news: str) -> None:
        if news == layout.REPOSITORY_NEWS:
            self._all_stale = True
        elif news.startswith(_MODEL):
            self._stale.add(news.removeprefix(_MODEL))
        else:
            return
        self._woken.set()

    def _missed(self) -> None:
        self._all_stale = True
        self._woken.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._catch_up()
            except (RedisError, OSError, TidegateError, msgspec.DecodeError) as error:
                if not self._is_away:
                    extra = {"fault": type(error).__name__}
                    log.warning("the states of models cannot be read", extra=extra)
                self._is_away = self._all_stale = True
                await asyncio.sleep(RETRY_S)
                continue
            if self._is_away:
                log.info("the states of models are read again")
                self._is_away = False
            await self._rest()

    async def _rest(self) -> None:
        """Wait for news; ten seconds after all was read, all is as good as stale."""
        try:
            async with asyncio.timeout_at(self._read_all_at + READ_ALL_S):
                await self._woken.wait()
        except TimeoutError:
            self._all_stale = True

    async def _catch_up(self) -> None:
        """Read what is stale, then write what is unseen."""
        self._woken.clear()
        if self._all_stale:
            await self._read_all()
        elif self._stale:
            await self._read_stale()
        for name, found in list(self._unseeded.items()):
            await self._seed(name, found)

    async def _seed(self, name: str, found: Found) -> None:
        try:
            state = await self._store.seen(name, found)
        except (TidegateError, RedisError, OSError):
            raise
        except Exception:  # of one model's files or record: the others go on
            log.exception("the versions of a model were not seen", extra={"model": name})
            state = None
        if self._unseeded.get(name) is found:
            del self._unseeded[name]
        if state is not None:
            self._take([state])

    async def _read_all(self) -> None:
        self._read_all_at = asyncio.get_running_loop().time()
        self._all_stale = False
        self._stale.clear()
        async with asyncio.timeout(READ_S):
            members: list[Any] = await self._records.zrange(layout.MODELS, 0, -1)
            places = [layout.model_record(_text(member)) for member in members]
            repository, *texts = await self._records.mget([layout.REPOSITORY, *places])
        was_known, self.is_known = self.is_known, True
        self._take(_states(texts), is_first=not was_known)
        self._see(0 if repository is None else _RECORD.decode(repository).revision)

    async def _read_stale(self) -> None:
        names, self._stale = self._stale, set()
        async with asyncio.timeout(READ_S):
            texts = await self._records.mget([layout.model_record(name) for name in names])
        self._take(_states(texts))

    def _take(self, found: list[ModelState], *, is_first: bool = False) -> None:
        newer = {
            state.name: state
            for state in found
            if state.name not in self.states or self.states[state.name].revision < state.revision
        }
        if newer:
            self.states = {**self.states, **newer}
        if self.is_known and (newer or is_first):
            _tell(lambda: self._on_change(self.states))

    def _see(self, revision: int) -> None:
        before, self._repository = self._repository, revision
        if before is not None and before != revision:
            _tell(self._on_refresh)


def _states(texts: list[Any]) -> list[ModelState]:
    states = []
    for text in texts:
        try:
            if text is not None:
                states.append(_STATE.decode(text))
        except msgspec.DecodeError:
            log.exception("the state of a model is not valid; what was known of it stays")
    return states


def _tell(listener: Callable[[], None]) -> None:
    """A listener that fails must not end the following."""
    try:
        listener()
    except Exception:
        log.exception("a change of models was not taken in")


def _text(member: bytes | str) -> str:
    return member if isinstance(member, str) else member.decode()
