"""A model server in memory, for faults that a real one cannot be made to show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from control_plane.inference.backend import (
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    InferenceBackend,
    ModelNotLoaded,
    ModelState,
)
from control_plane.types import Backing, InferenceRequest, ModelSignature, Tensor

Model = Callable[[InferenceRequest], dict[str, Tensor]]


class MemoryBackend(InferenceBackend):
    """Runs Python functions as models.

    Attributes:
        models: The function of each model version that is loaded; it may raise a ``BackendError``.
        repository: The function of each model version that can be loaded; at first the same.
        broken: Why a model cannot be loaded, by its name.
        signatures: What :meth:`signature` answers.
        delay_s: Seconds that every call takes.
        load_delay_s: Seconds that the loading of a model takes, by its name.
        reachable: False makes every call fail as if there were no connection.
        calls: Every request received.
        loads: Every model whose loading was asked for.
        unloads: Every model whose unloading was asked for.
        cancelled: Number of calls that were cancelled.
    """

    def __init__(self, models: Mapping[Backing, Model], name: str = "memory") -> None:
        self.name = name
        self.models = dict(models)
        self.repository = dict(models)
        self.broken: dict[str, str] = {}
        self.signatures: dict[Backing, ModelSignature] = {}
        self.delay_s = 0.0
        self.load_delay_s: dict[str, float] = {}
        self.reachable = True
        self.calls: list[InferenceRequest] = []
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.cancelled = 0
        self._gone: dict[Backing, str] = {}

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

    async def index(self, timeout_s: float) -> tuple[ModelState, ...]:
        """See the base class."""
        self._connect()
        ready = [ModelState(backing, "ready") for backing in self.models]
        gone = [
            ModelState(backing, "unavailable", reason)
            for backing, reason in self._gone.items()
            if backing not in self.models
        ]
        return tuple(sorted([*ready, *gone], key=lambda state: state.backing))

    async def load(self, model: str, timeout_s: float) -> None:
        """See the base class."""
        self._connect()
        self.loads.append(model)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self.load_delay_s.get(model, 0.0))
        except TimeoutError:
            raise BackendTimeout(model) from None
        versions = {key: run for key, run in self.repository.items() if key.model == model}
        try:
            if not versions:
                raise BackendFailed(f"failed to load '{model}'")
            if model in self.broken:
                raise BackendFailed(self.broken[model])
        except BackendError as error:
            self._gone |= dict.fromkeys(versions, str(error))
            raise
        self.models |= versions

    async def unload(self, model: str, timeout_s: float) -> None:
        """See the base class."""
        self._connect()
        self.unloads.append(model)
        for backing in [backing for backing in self.models if backing.model == model]:
            del self.models[backing]
            self._gone[backing] = "unloaded"

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
