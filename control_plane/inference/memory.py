"""A model server in memory, for faults that a real one cannot be made to show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from control_plane.inference.backend import BackendUnreachable, InferenceBackend, ModelNotLoaded
from control_plane.types import Backing, InferenceRequest, ModelSignature, Tensor

Model = Callable[[InferenceRequest], dict[str, Tensor]]


class MemoryBackend(InferenceBackend):
    """Runs Python functions as models.

    Attributes:
        models: The function of each model version; it may raise a ``BackendError``.
        signatures: What :meth:`signature` answers.
        delay_s: Seconds that every call takes.
        reachable: False makes every call fail as if there were no connection.
        calls: Every request received.
        cancelled: Number of calls that were cancelled.
    """

    def __init__(self, models: Mapping[Backing, Model], name: str = "memory") -> None:
        self.name = name
        self.models = dict(models)
        self.signatures: dict[Backing, ModelSignature] = {}
        self.delay_s = 0.0
        self.reachable = True
        self.calls: list[InferenceRequest] = []
        self.cancelled = 0

    async def infer(self, request: InferenceRequest) -> dict[str, Tensor]:
        """See the base class."""
        self._connect()
        if request.backing not in self.models:
            raise ModelNotLoaded(str(request.backing))
        self.calls.append(request)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.models[request.backing](request)

    async def ready_models(self, timeout_s: float) -> frozenset[Backing]:
        """See the base class."""
        self._connect()
        return frozenset(self.models)

    async def signature(self, backing: Backing, timeout_s: float) -> ModelSignature:
        """See the base class."""
        self._connect()
        if backing not in self.signatures:
            raise ModelNotLoaded(str(backing))
        return self.signatures[backing]

    async def close(self) -> None:
        """See the base class."""
        self.reachable = False

    def _connect(self) -> None:
        if not self.reachable:
            raise BackendUnreachable(self.name)
