"""Several model servers as one: each call goes to a healthy one with the fewest in flight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from control_plane.inference.backend import (
    BackendError,
    BackendUnreachable,
    InferenceBackend,
    ModelNotLoaded,
)
from control_plane.types import Backing, InferenceRequest, Tensor

log = logging.getLogger(__name__)


class Endpoint:
    """A model server and what is known of its health.

    Attributes:
        backend: The server.
        ready: The model versions that it can answer for; empty while it is down.
        held: Those among them that get no calls, because nobody has found them fit.
        in_flight: Calls that it is working on.
    """

    __slots__ = ("backend", "held", "in_flight", "ready")

    def __init__(self, backend: InferenceBackend) -> None:
        self.backend = backend
        self.ready: frozenset[Backing] = frozenset()
        self.held: set[Backing] = set()
        self.in_flight = 0

    def takes(self, backing: Backing) -> bool:
        """True if calls of the model version may go here."""
        return backing in self.ready and backing not in self.held


class BackendPool:
    """Watches the health of some servers and spreads the calls over them."""

    def __init__(
        self, backends: Sequence[InferenceBackend], *, interval_s: float, timeout_s: float
    ) -> None:
        """Start with every server down; :meth:`start` finds out.

        Args:
            backends: At least one.
            interval_s: Seconds between two looks at a server's health.
            timeout_s: Seconds after which a server that does not answer counts as down.
        """
        self.endpoints = [Endpoint(backend) for backend in backends]
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._watchers: list[asyncio.Task[None]] = []
        self.on_ready: list[Callable[[InferenceBackend, frozenset[Backing]], None]] = []

    async def start(self) -> None:
        """Look at every server once, then keep watching."""
        await asyncio.gather(*[self.look(endpoint) for endpoint in self.endpoints])
        self._watchers = [asyncio.create_task(self._watch(endpoint)) for endpoint in self.endpoints]

    async def close(self) -> None:
        """Stop watching and close every connection."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for endpoint in self.endpoints:
            await endpoint.backend.close()

    def is_ready(self, backing: Backing) -> bool:
        """True if at least one healthy server may be called for the model version."""
        return any(endpoint.takes(backing) for endpoint in self.endpoints)

    async def infer(self, request: InferenceRequest) -> dict[str, Tensor]:
        """Run a model once, on another server if the first cannot be reached.

        A call is repeated if the connection failed or the model is not loaded there. A model may so
        run twice for one answer, which predictions allow.

        Raises:
            BackendError: Of the last server tried.
        """
        tried: set[int] = set()
        failure: BackendError = BackendUnreachable("no healthy server has the model version")
        while (endpoint := self._pick(request.backing, tried)) is not None:
            tried.add(id(endpoint))
            endpoint.in_flight += 1
            try:
                return await endpoint.backend.infer(request)
            except BackendUnreachable as error:
                self._down(endpoint, error)
                failure = error
            except ModelNotLoaded as error:
                endpoint.ready -= {request.backing}
                failure = error
            finally:
                endpoint.in_flight -= 1
        raise failure

    def takes(self, backend: InferenceBackend, backing: Backing) -> bool:
        """True if calls of a model version may go to a server."""
        return any(
            endpoint.backend is backend and endpoint.takes(backing) for endpoint in self.endpoints
        )

    def hold(self, backend: InferenceBackend, backing: Backing) -> None:
        """Send no calls of a model version to a server until :meth:`release`."""
        for endpoint in self.endpoints:
            if endpoint.backend is backend:
                endpoint.held.add(backing)

    def release(self, backend: InferenceBackend, backing: Backing) -> None:
        """Let calls of a model version go to a server."""
        for endpoint in self.endpoints:
            if endpoint.backend is backend:
                endpoint.held.discard(backing)

    def forget(self, backend: InferenceBackend, backing: Backing) -> None:
        """Count a model version as not ready until the next look at the server."""
        for endpoint in self.endpoints:
            if endpoint.backend is backend:
                endpoint.ready -= {backing}

    async def look(self, endpoint: Endpoint) -> None:
        """Find out which model versions a server can answer for."""
        try:
            ready = await endpoint.backend.ready_models(self._timeout_s)
        except BackendError as error:
            self._down(endpoint, error)
            return
        came = ready - endpoint.ready
        if came and not endpoint.ready:
            log.info("triton up", extra={"triton": endpoint.backend.name, "models": len(ready)})
        endpoint.ready = ready
        if came:
            for listener in self.on_ready:
                listener(endpoint.backend, came)

    async def _watch(self, endpoint: Endpoint) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.look(endpoint)
            except Exception:
                log.exception("health watch failed", extra={"triton": endpoint.backend.name})

    def _pick(self, backing: Backing, tried: set[int]) -> Endpoint | None:
        best: Endpoint | None = None
        for endpoint in self.endpoints:
            if not endpoint.takes(backing) or id(endpoint) in tried:
                continue
            if best is None or endpoint.in_flight < best.in_flight:
                best = endpoint
        return best

    def _down(self, endpoint: Endpoint, error: BackendError) -> None:
        if endpoint.ready:
            log.warning(
                "triton down", extra={"triton": endpoint.backend.name, "reason": str(error)[:200]}
            )
        endpoint.ready = frozenset()
