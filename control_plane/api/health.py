"""Is the process alive, and can it serve?"""

from __future__ import annotations

from litestar import Response, get
from litestar.datastructures import State
from msgspec import Struct

from control_plane.services import Services


class Alive(Struct, frozen=True):
    """The process runs."""

    status: str = "healthy"


class ModelReady(Struct, frozen=True):
    """One line of ``/ready``.

    Attributes:
        name: Public name.
        version: Semantic version.
        ready: True if it can answer now.
    """

    name: str
    version: str
    ready: bool


class Ready(Struct, frozen=True):
    """The answer of ``/ready``.

    Attributes:
        status: ``ready``, ``draining`` or ``unready``.
        model_loaded: True if every version of every model can answer now.
        records: ``up`` or ``down``: the system of record.
        limits: ``up`` or ``down``: the limits server.
        models: A line for each version.
    """

    status: str
    model_loaded: bool
    records: str
    limits: str
    models: list[ModelReady]


@get("/healthz", sync_to_thread=False)
def healthz() -> Alive:
    """The process runs."""
    return Alive()


@get("/ready")
async def ready(state: State) -> Response[Ready]:
    """200 if the default version of the default model can answer, 503 if not.

    Without a default model, every model's default version must be able to.
    """
    services: Services = state.services
    pipeline = services.pipeline
    models = [
        ModelReady(ref.name, str(ref.version), pipeline.is_ready(ref))
        for ref in sorted(pipeline.offer.contracts)
    ]
    able = pipeline.can_serve() and not state.draining.is_set()
    body = Ready(
        status="draining" if state.draining.is_set() else "ready" if able else "unready",
        model_loaded=bool(models) and all(line.ready for line in models),
        records="up" if services.records_up() else "down",
        limits="down" if services.admission.gate.is_away else "up",
        models=models,
    )
    headers = {"cache-control": "no-store"} | ({} if able else {"retry-after": "1"})
    return Response(body, status_code=200 if able else 503, headers=headers)
