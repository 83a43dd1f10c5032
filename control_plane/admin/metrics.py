"""What Prometheus scrapes, of all processes of the instance."""

from __future__ import annotations

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY

from control_plane.telemetry.metrics import exposition


@get("/metrics", sync_to_thread=True)
def metrics() -> Response[bytes]:
    """The metrics in Prometheus' text format."""
    return Response(exposition(REGISTRY), media_type=CONTENT_TYPE_LATEST)


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The admin process runs."""
    return {"status": "healthy"}
