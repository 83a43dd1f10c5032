"""The lanes of all public versions: opened when Triton has a version ready and it agrees."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from msgspec import Struct

from control_plane.errors import ModelUnavailable
from control_plane.inference.backend import BackendError, InferenceBackend
from control_plane.inference.lane import CallReport, Lane
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, BatchCodec, ModelRef, ModelSignature

log = logging.getLogger(__name__)

Report = Callable[[ModelRef, CallReport], None]


class LaneSpec(Struct, frozen=True):
    """What a public version's lane is made from.

    Attributes:
        ref: Public name, for logs and metrics.
        codec: Joins inputs and splits outputs.
        disagreements: Compares the contract with what Triton has loaded; one sentence for each
            difference.
        deadline_s: The contract's bound of a request's deadline, seconds.
    """

    ref: ModelRef
    codec: BatchCodec
    disagreements: Callable[[ModelSignature], list[str]]
    deadline_s: float = 60.0


class Lanes:
    """Opens a lane for each version that Triton has ready, and only if contract and model agree."""

    def __init__(
        self,
        specs: Mapping[Backing, LaneSpec],
        pool: BackendPool,
        *,
        slots: int,
        max_waiting: int,
        timeout_s: float,
        report: Report,
    ) -> None:
        """Listen to the pool; call :meth:`settle` after its start.

        Args:
            specs: The public versions by what serves them.
            pool: The Triton servers.
            slots: Calls in flight of a lane and server.
            max_waiting: Inputs that may wait in a lane.
            timeout_s: Seconds that Triton has to say what it has loaded.
            report: Told of every call.
        """
        self._specs = specs
        self._pool = pool
        self._slots = slots * len(pool.endpoints)
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._report = report
        self._lanes: dict[Backing, Lane] = {}
        self._sizes: dict[Backing, dict[str, int]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self.refused: dict[Backing, list[str]] = {}
        pool.on_ready.append(self._came)

    def is_ready(self, backing: Backing) -> bool:
        """True if the version can answer now."""
        return backing in self._lanes and self._pool.is_ready(backing)

    def lane(self, backing: Backing) -> Lane:
        """The lane of a version.

        Raises:
            ModelUnavailable: If no healthy Triton has it loaded, or contract and model disagree.
        """
        lane = self._lanes.get(backing)
        if lane is None or not self._pool.is_ready(backing):
            raise ModelUnavailable("No healthy server has this model version loaded")
        return lane

    def waiting(self) -> dict[ModelRef, int]:
        """Inputs that wait, by version."""
        return {self._specs[backing].ref: lane.waiting for backing, lane in self._lanes.items()}

    async def settle(self) -> None:
        """Wait until every version that came has been opened or refused."""
        while self._opening:
            await asyncio.wait(self._opening)

    async def close(self, timeout_s: float) -> None:
        """Finish what waits and flies within some seconds, then cancel the rest."""
        await asyncio.gather(*[lane.close(timeout_s) for lane in self._lanes.values()])

    def _came(self, backend: InferenceBackend, backings: frozenset[Backing]) -> None:
        for backing in backings & self._specs.keys():
            self._pool.hold(backend, backing)
            task = asyncio.create_task(self._open(backend, backing))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, backend: InferenceBackend, backing: Backing) -> None:
        spec = self._specs[backing]
        try:
            signature = await backend.signature(backing, self._timeout_s)
        except BackendError as error:
            log.warning("signature unknown", extra={"model": str(spec.ref), "reason": str(error)})
            self._pool.forget(backend, backing)
            return
        reasons = spec.disagreements(signature)
        if reasons:
            log.error(
                "version left out",
                extra={"model": str(spec.ref), "triton": backend.name, "reasons": reasons},
            )
            self.refused[backing] = reasons
            return
        self.refused.pop(backing, None)
        self._sizes.setdefault(backing, {})[backend.name] = signature.max_batch_size
        self._lane(backing, spec).limit(min(self._sizes[backing].values()))
        self._pool.release(backend, backing)

    def _lane(self, backing: Backing, spec: LaneSpec) -> Lane:
        if backing not in self._lanes:
            self._lanes[backing] = Lane(
                backing,
                spec.codec,
                self._pool,
                max_batch=1,
                slots=self._slots,
                max_waiting=self._max_waiting,
                report=lambda call: self._report(spec.ref, call),
                deadline_s=spec.deadline_s,
            )
        return self._lanes[backing]
