"""What is known of one request, filled in as it passes through the rooms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Admitted(Protocol):
    """What a request holds once it was let in."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of rate and quota."""


class Exchange:
    """One request and its answer, for the access log, the metrics and the headers.

    Attributes:
        request_id: Minted by the server.
        client_request_id: The client's own, if well formed.
        method: HTTP method.
        route: Template of the path, never the path itself.
        started: ``time.perf_counter()`` at arrival, seconds.
        status: HTTP status; 0 until the answer starts.
        model: Public name of the model that answers, or empty.
        version: Its version, or empty.
        error: Code of the error, or empty.
        admission_s: Seconds from arrival to the queue.
        queue_s: Seconds in the queue.
        inference_s: Seconds in the call to Triton.
        shared: Inputs that shared the call.
        tenant: Whose request it is, or empty.
        client: Who of the tenant, or empty; never a credential.
        units: What was paid for it.
        limits: Gives the headers of rate and quota, once the request was admitted or refused.
    """

    __slots__ = (
        "admission_s",
        "client",
        "client_request_id",
        "error",
        "inference_s",
        "limits",
        "method",
        "model",
        "queue_s",
        "request_id",
        "route",
        "shared",
        "started",
        "status",
        "tenant",
        "units",
        "version",
    )

    def __init__(
        self, request_id: str, client_request_id: str | None, method: str, started: float
    ) -> None:
        self.request_id = request_id
        self.client_request_id = client_request_id
        self.method = method
        self.started = started
        self.route = "unmatched"
        self.status = 0
        self.model = ""
        self.version = ""
        self.error = ""
        self.admission_s = 0.0
        self.queue_s = 0.0
        self.inference_s = 0.0
        self.shared = 0
        self.tenant = ""
        self.client = ""
        self.units = 0
        self.limits: Callable[[], list[tuple[bytes, bytes]]] | None = None

    def routed(self, model: str, version: str) -> None:
        """Note who answers, also if it will be an error."""
        self.model = model
        self.version = version

    def admitted(self, permit: Admitted) -> None:
        """Note what gives the headers of rate and quota."""
        self.limits = permit.headers
