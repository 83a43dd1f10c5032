"""Keeps traffic from a model version on a server until it was found fit there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from control_plane.inference.backend import BackendError, InferenceBackend
from control_plane.inference.backoff import Backoff
from control_plane.inference.examination import MAX_REASON, LaneSpec, examine
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing

log = logging.getLogger(__name__)


class _Key(NamedTuple):
    """A model version on a server."""

    server: InferenceBackend
    backing: Backing


class Probation:
    """Examines versions on servers, again and again until they pass, and remembers why not.

    A server that cannot be reached, is busy or too slow is no verdict: the version counts as not
    ready there, so that the pool's next look brings it up again.

    Attributes:
        refused: Why versions get no traffic, by version and name of the server.
    """

    def __init__(
        self,
        pool: BackendPool,
        *,
        timeout_s: float,
        passed: Callable[[InferenceBackend, Backing, int], None],
        backoff: Backoff,
    ) -> None:
        """Hold nothing yet.

        Args:
            pool: Told which server gets no calls of which version.
            timeout_s: Seconds that a server has to say what it has loaded.
            passed: Told of a version that is fit on a server and how many inputs a call may
                carry, just before it gets traffic.
            backoff: When one that was refused is tried again.
        """
        self._pool = pool
        self._timeout_s = timeout_s
        self._passed = passed
        self._backoff = backoff
        self._running: dict[_Key, asyncio.Task[None]] = {}
        self._timers: dict[_Key, asyncio.TimerHandle] = {}
        self._failures: dict[_Key, int] = {}
        self._told: dict[_Key, list[str]] = {}
        self.refused: dict[Backing, dict[str, list[str]]] = {}

    def start(self, backend: InferenceBackend, backing: Backing, spec: LaneSpec) -> None:
        """Examine a version on a server at once, as if for the first time.

        One that gets traffic keeps it meanwhile, unless :meth:`BackendPool.hold` says otherwise.
        """
        key = _Key(backend, backing)
        self._cancel(key)
        self._failures.pop(key, None)
        self._begin(key, spec)

    def forget(self, backing: Backing) -> None:
        """Examine a version no more, and drop what is known of it."""
        self.refused.pop(backing, None)
        known = (
            self._running.keys() | self._timers.keys() | self._failures.keys() | self._told.keys()
        )
        for key in [key for key in known if key.backing == backing]:
            self._cancel(key)
            self._failures.pop(key, None)
            self._told.pop(key, None)

    async def settle(self, timeout_s: float) -> None:
        """Wait for all examinations that are under way, but at most some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._running:
                    await asyncio.wait(self._running.values())

    async def close(self) -> None:
        """End all examinations."""
        running = list(self._running.values())
        for key in self._running.keys() | self._timers.keys():
            self._cancel(key)
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, key: _Key, spec: LaneSpec) -> None:
        self._timers.pop(key, None)
        task = asyncio.create_task(self._examine(key, spec))
        self._running[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))

    def _ended(self, key: _Key, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    def _cancel(self, key: _Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if (task := self._running.pop(key, None)) is not None:
            task.cancel()

    async def _examine(self, key: _Key, spec: LaneSpec) -> None:
        try:
            findings = await examine(key.server, key.backing, spec, self._timeout_s)
        except BackendError as error:
            self._postpone(key, spec, f"{type(error).__name__}: {str(error)[:MAX_REASON]}")
        except Exception as error:
            reason = f"its answer cannot be read: {type(error).__name__}: {str(error)[:MAX_REASON]}"
            self._refuse(key, spec, [reason])
        else:
            if findings.reasons:
                self._refuse(key, spec, findings.reasons)
            else:
                self._admit(key, findings.max_batch)

    def _admit(self, key: _Key, max_batch: int) -> None:
        self._failures.pop(key, None)
        self._told.pop(key, None)
        servers = self.refused.get(key.backing, {})
        servers.pop(key.server.name, None)
        if not servers:
            self.refused.pop(key.backing, None)
        self._passed(key.server, key.backing, max_batch)
        self._pool.release(key.server, key.backing)

    def _refuse(self, key: _Key, spec: LaneSpec, reasons: list[str]) -> None:
        self._pool.hold(key.server, key.backing)
        self.refused.setdefault(key.backing, {})[key.server.name] = reasons
        self._tell(key, spec, "version left out", reasons)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._later(key, spec, failures)

    def _postpone(self, key: _Key, spec: LaneSpec, reason: str) -> None:
        self._tell(key, spec, "version not examined", [reason])
        if self._pool.takes(key.server, key.backing):
            self._later(key, spec, 1)
        else:
            self._pool.forget(key.server, key.backing)

    def _later(self, key: _Key, spec: LaneSpec, failures: int) -> None:
        delay_s = self._backoff.delay_s(failures)
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(delay_s, self._begin, key, spec)

    def _tell(self, key: _Key, spec: LaneSpec, event: str, reasons: list[str]) -> None:
        """Log what is not yet known of a version on a server."""
        if self._told.get(key) == reasons:
            return
        self._told[key] = reasons
        extra = {"model": str(spec.ref), "triton": key.server.name, "reasons": reasons}
        log.error(event, extra=extra)
