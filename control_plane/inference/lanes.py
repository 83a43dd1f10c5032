"""The lanes of all public versions: open while a server has the version and it was found fit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from control_plane.errors import ModelUnavailable
from control_plane.inference.backend import InferenceBackend
from control_plane.inference.backoff import Backoff
from control_plane.inference.examination import LaneSpec
from control_plane.inference.lane import CallReport, Lane, LaneName
from control_plane.inference.pool import BackendPool
from control_plane.inference.probation import Probation
from control_plane.types import Backing, ModelRef

Report = Callable[[ModelRef, CallReport], None]

SHADOW_WAITING: Final = 64
"""Copies that may wait in a shadow lane; more are dropped."""


class Lanes:
    """Opens lanes for each version that a server has ready, answers its examples and agrees.

    A version has up to three lanes, each with calls and a queue of its own: ``main``, and
    ``control`` and ``shadow`` once they are asked for. A control lane is bounded as the main lane.
    A shadow lane has one call in flight a server and drops everything while any main or control
    lane of this process is behind.
    """

    def __init__(
        self,
        specs: Mapping[Backing, LaneSpec],
        pool: BackendPool,
        *,
        slots: int,
        max_waiting: int,
        timeout_s: float,
        report: Report,
        drain_s: float = 30.0,
        backoff: Backoff | None = None,
    ) -> None:
        """Listen to the pool; call :meth:`settle` after its start.

        Args:
            specs: The public versions by what serves them.
            pool: The Triton servers.
            slots: Calls in flight of a main or control lane and server.
            max_waiting: Inputs that may wait in a main or control lane.
            timeout_s: Seconds that Triton has to say what it has loaded.
            report: Told of every call.
            drain_s: Seconds that the requests of a version have to end after it was taken out.
            backoff: When a version that was found unfit is tried again.
        """
        self._specs = dict(specs)
        self._pool = pool
        self._servers = len(pool.endpoints)
        self._slots = slots
        self._max_waiting = max_waiting
        self._report = report
        self._drain_s = drain_s
        self._lanes: dict[LaneName, dict[Backing, Lane]] = {"main": {}, "control": {}, "shadow": {}}
        self._sizes: dict[Backing, dict[str, int]] = {}
        self._leaving: dict[asyncio.Task[None], Lane] = {}
        self._probation = Probation(
            pool, timeout_s=timeout_s, passed=self._passed, backoff=backoff or Backoff()
        )
        pool.on_ready.append(self._came)

    @property
    def refused(self) -> Mapping[Backing, Mapping[str, list[str]]]:
        """Why versions get no traffic, by version and name of the server that refuses."""
        return self._probation.refused

    def is_ready(self, backing: Backing) -> bool:
        """True if the version can answer now."""
        return backing in self._lanes["main"] and self._pool.is_ready(backing)

    def lane(self, backing: Backing, name: LaneName = "main") -> Lane:
        """A lane of a version.

        Raises:
            ModelUnavailable: If no healthy Triton has it loaded and was found fit.
        """
        lane = self._lanes[name].get(backing)
        if lane is not None and self._pool.is_ready(backing):
            return lane
        if not self.is_ready(backing):
            raise ModelUnavailable("No healthy server has this model version loaded")
        return self._open(backing, name)

    def waiting(self) -> dict[ModelRef, int]:
        """Inputs that wait in main and control lanes, by version."""
        control = self._lanes["control"]
        return {
            self._specs[backing].ref: lane.waiting
            + (control[backing].waiting if backing in control else 0)
            for backing, lane in self._lanes["main"].items()
        }

    @property
    def pressure(self) -> int:
        """Inputs that wait in main and control lanes, of all versions."""
        lanes = self._lanes
        return sum(lane.waiting for lane in lanes["main"].values()) + sum(
            lane.waiting for lane in lanes["control"].values()
        )

    def replace(self, specs: Mapping[Backing, LaneSpec]) -> None:
        """Take these versions for the public ones.

        A version that stays as it is keeps its lanes. One that is gone takes no more requests at
        once; those that found its lane before are answered within ``drain_s``. One that came, or
        whose spec is made from something else, is examined and then gets traffic.
        """
        for backing, spec in list(self._specs.items()):
            wanted = specs.get(backing)
            if wanted is None or wanted.replaces(spec):
                self.retire(backing)
        added = specs.keys() - self._specs.keys()
        self._specs |= {backing: specs[backing] for backing in added}
        for endpoint in self._pool.endpoints:
            self._came(endpoint.backend, endpoint.ready & added)

    def retire(self, backing: Backing) -> None:
        """Take a version out, as :meth:`replace` does; one that is not there is no error."""
        spec = self._specs.pop(backing, None)
        if spec is None:
            return
        self._probation.forget(backing)
        self._sizes.pop(backing, None)
        for lanes in self._lanes.values():
            if (lane := lanes.pop(backing, None)) is not None:
                task = asyncio.create_task(self._leave(lane, spec.deadline_s))
                self._leaving[task] = lane
                task.add_done_callback(self._leaving.pop)

    def again(self, backing: Backing) -> None:
        """Examine a version at once on every server that has it, as after a reload.

        Where it gets traffic it keeps it, unless it fails.
        """
        spec = self._specs.get(backing)
        if spec is None:
            return
        for endpoint in self._pool.endpoints:
            if backing in endpoint.ready:
                self._probation.start(endpoint.backend, backing, spec)

    async def settle(self, timeout_s: float = 10.0) -> None:
        """Wait until every version that came was found fit or not, but at most some seconds."""
        await self._probation.settle(timeout_s)

    async def close(self, timeout_s: float) -> None:
        """Finish what waits and flies within some seconds, then cancel the rest."""
        lanes = [lane for named in self._lanes.values() for lane in named.values()]
        lanes += self._leaving.values()
        for task in self._leaving:
            task.cancel()
        await self._probation.close()
        await asyncio.gather(*[lane.close(timeout_s) for lane in lanes])

    def _came(self, backend: InferenceBackend, backings: frozenset[Backing]) -> None:
        for backing in backings & self._specs.keys():
            self._pool.hold(backend, backing)
            self._probation.start(backend, backing, self._specs[backing])

    def _passed(self, backend: InferenceBackend, backing: Backing, max_batch: int) -> None:
        sizes = self._sizes.setdefault(backing, {})
        sizes[backend.name] = max_batch
        if backing not in self._lanes["main"]:
            self._open(backing, "main")
        for lanes in self._lanes.values():
            if backing in lanes:
                lanes[backing].limit(min(sizes.values()))

    def _open(self, backing: Backing, name: LaneName) -> Lane:
        spec, shadow = self._specs[backing], name == "shadow"
        lane = self._lanes[name][backing] = Lane(
            backing,
            spec.codec,
            self._pool,
            max_batch=min(self._sizes[backing].values()),
            slots=self._servers * (1 if shadow else self._slots),
            max_waiting=min(SHADOW_WAITING, self._max_waiting) if shadow else self._max_waiting,
            report=partial(self._report, spec.ref),
            deadline_s=spec.deadline_s,
            name=name,
            gives_way=self._behind if shadow else None,
        )
        return lane

    def _behind(self) -> bool:
        named = (self._lanes["main"], self._lanes["control"])
        return any(lane.behind for lanes in named for lane in lanes.values())

    async def _leave(self, lane: Lane, deadline_s: float) -> None:
        # A request that has found the lane may still wait to be admitted, until its own deadline.
        await asyncio.sleep(min(deadline_s, self._drain_s))
        await lane.close(self._drain_s)
