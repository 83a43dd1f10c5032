"""One server's part of the reconciler: its rounds, its tries and its failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Literal

from msgspec import Struct

from control_plane.inference.backend import (
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    InferenceBackend,
    ModelState,
)
from control_plane.inference.backoff import Backoff
from control_plane.inference.target import Target, missing, steps

log = logging.getLogger(__name__)

Act = Callable[[str], Awaitable[None]]

LOAD_TIMEOUT_S: Final = 600.0
"""Seconds that a model may take to load before a word of it is logged; Triton goes on."""


class ModelReport(Struct, frozen=True):
    """How far a wanted model is on a server, for operators.

    Attributes:
        server: Name of the server.
        model: Name of the Triton model.
        state: ``unknown`` while the server does not answer.
        reason: Why it is not ready, in the server's words; empty if it is.
        failures: Failed tries in a row.
        retry_s: Seconds until the next try; 0 if none is due for a failure.
    """

    server: str
    model: str
    state: Literal["ready", "loading", "failed", "absent", "unknown"]
    reason: str = ""
    failures: int = 0
    retry_s: float = 0.0


class _Trouble(Struct):
    """A model that a server did not load or unload.

    Attributes:
        reason: In the server's words.
        failures: Failed tries in a row.
        due: When it is tried again, by the clock.
    """

    reason: str
    failures: int
    due: float


class Keeper:
    """Knows what a server has, what is under way there and what failed.

    Attributes:
        name: Of the server.
        woken: Set to begin the next round at once.
    """

    def __init__(
        self,
        backend: InferenceBackend,
        timeout_s: float,
        linger_s: float,
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        """Know nothing yet; see :class:`Reconciler` for the arguments."""
        self.name = backend.name
        self.woken = asyncio.Event()
        self._backend = backend
        self._timeout_s = timeout_s
        self._linger_s = linger_s
        self._backoff = backoff
        self._clock = clock
        self._index: tuple[ModelState, ...] = ()
        self._away = "it was not asked yet"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._unwanted: dict[str, float] = {}
        self._asked: set[str] = set()

    async def round(self, target: Target) -> None:
        """Look at the server once and begin what it needs; a failure of its own is no error."""
        self.woken.clear()
        if not await self._look():
            return
        self._asked &= target.wanted.keys()
        due = steps(self._index, target, self._asked)
        now = self._clock()
        self._unwanted = {model: self._unwanted.get(model, now) for model in due.unload}
        lingered = [
            model for model, since in self._unwanted.items() if now - since >= self._linger_s
        ]
        open_ends = {*due.load, *due.unload} | self._tasks.keys()
        self._troubles = {m: each for m, each in self._troubles.items() if m in open_ends}
        for model in due.load:
            self._begin(model, partial(self._load, target.wanted[model]))
        for model in lingered:
            self._begin(model, self._unload)

    def again(self, model: str) -> None:
        """Load a model in the next round whether it is ready or not."""
        self._asked.add(model)
        self._troubles.pop(model, None)

    def report(self, model: str, versions: frozenset[str]) -> ModelReport:
        """How far a wanted model is."""
        if self._away:
            return ModelReport(self.name, model, "unknown", self._away)
        trouble = self._troubles.get(model)
        reason = missing(self._index, model, versions)
        states = {each.state for each in self._index if each.backing.model == model}
        if model in self._tasks or "loading" in states:
            return ModelReport(self.name, model, "loading", reason)
        if trouble is not None:
            retry_s = max(0.0, trouble.due - self._clock())
            failures = trouble.failures
            return ModelReport(self.name, model, "failed", trouble.reason, failures, retry_s)
        return ModelReport(self.name, model, "absent" if reason else "ready", reason)

    async def settle(self) -> None:
        """Wait until all that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """Give up what was begun."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> bool:
        """Ask what the server has; False if it does not say."""
        try:
            self._index = await self._backend.index(self._timeout_s)
        except BackendError as error:
            self._away = str(error) or type(error).__name__
            return False
        if self._away:
            # It may have been started again, and what failed before may work now.
            self._troubles.clear()
            self._away = ""
        return True

    def _begin(self, model: str, act: Act) -> None:
        trouble = self._troubles.get(model)
        if model in self._tasks or (trouble is not None and trouble.due > self._clock()):
            return
        self._asked.discard(model)
        task = asyncio.create_task(self._try(model, act))
        self._tasks[model] = task
        task.add_done_callback(lambda _: self._tasks.pop(model))

    async def _try(self, model: str, act: Act) -> None:
        try:
            await act(model)
        except (BackendTimeout, BackendUnreachable) as error:
            # No failure of the model: the next rounds see how far the server is.
            extra = {"triton": self.name, "triton_model": model, "reason": str(error)}
            log.warning("triton does not answer", extra=extra)
        except BackendError as error:
            self._fail(model, str(error))
        else:
            self._troubles.pop(model, None)

    def _fail(self, model: str, reason: str) -> None:
        known = self._troubles.get(model)
        failures = known.failures + 1 if known else 1
        due = self._clock() + self._backoff.delay_s(failures)
        self._troubles[model] = _Trouble(reason, failures, due)
        if known is None or known.reason != reason:
            extra = {"triton": self.name, "triton_model": model, "reason": reason}
            log.error("triton refused", extra=extra)

    async def _load(self, versions: frozenset[str], model: str) -> None:
        await self._backend.load(model, LOAD_TIMEOUT_S)
        self._index = await self._backend.index(self._timeout_s)
        lacking = missing(self._index, model, versions)
        if lacking:
            raise BackendFailed(lacking)
        log.info("model loaded", extra={"triton": self.name, "triton_model": model})

    async def _unload(self, model: str) -> None:
        await self._backend.unload(model, self._timeout_s)
        log.info("model unloaded", extra={"triton": self.name, "triton_model": model})
