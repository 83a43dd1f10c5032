"""The metrics of the service; ``docs/metrics.md`` is the table of them.

With ``PROMETHEUS_MULTIPROC_DIR`` set, the processes of one instance write to files of that folder
and the admin listener answers for all of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import values as prometheus_values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from control_plane.telemetry.admission_metrics import AdmissionMetrics
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.job_metrics import JobMetrics
from control_plane.telemetry.rollout_metrics import RolloutMetrics
from control_plane.telemetry.webhook_metrics import WebhookMetrics
from control_plane.types import ModelRef

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # The library asks the kernel for the process id at every count, in case of a fork; these
    # processes never fork, and the system calls cost 4 % of a prediction.
    _PID: Final = os.getpid()
    prometheus_values.ValueClass = prometheus_values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: _PID
    )

SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Every metric, registered once a process.

    Attributes:
        registry: Where they are registered.
        admission: Those of admission.
        rollouts: Those of rollouts.
        jobs: Those of jobs.
        webhooks: Those of webhooks.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.admission = AdmissionMetrics(registry)
        self.rollouts = RolloutMetrics(registry)
        self.jobs = JobMetrics(registry)
        self.webhooks = WebhookMetrics(registry)
        self._requests = Histogram(
            "tidegate_request_duration_seconds",
            "Time from the arrival of a request to the end of its answer.",
            ["route", "model", "version", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "tidegate_errors",
            "Answers with an error, by code of the catalogue.",
            ["code"],
            registry=registry,
        )
        self._call_inputs = Histogram(
            "tidegate_call_inputs",
            "Inputs that shared one call to Triton.",
            ["model", "version"],
            buckets=SIZES,
            registry=registry,
        )
        self._call_seconds = Histogram(
            "tidegate_call_duration_seconds",
            "Time of one call to Triton; outcome: ok, failed, or cancelled as nobody waited.",
            ["model", "version", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._waiting = Gauge(
            "tidegate_waiting_inputs",
            "Inputs that wait for a call to Triton.",
            ["model", "version"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._ready = Gauge(
            "tidegate_model_ready",
            "1 if the version can answer, 0 if not.",
            ["model", "version"],
            multiprocess_mode="livemin",
            registry=registry,
        )
        self._faults = Gauge(
            "tidegate_contract_faults",
            "Faults of contracts that leave versions out.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._series: dict[tuple[str, str, str, int], Histogram] = {}

    def families(self) -> list[tuple[Metric, tuple[str, ...]]]:
        """Every metric with its labels, for the documentation."""
        collectors = (
            self._requests,
            self._errors,
            self._call_inputs,
            self._call_seconds,
            self._waiting,
            self._ready,
            self._faults,
            *self.admission.collectors,
            *self.rollouts.collectors,
            *self.jobs.collectors,
            *self.webhooks.collectors,
        )
        return [
            (next(iter(collector.describe())), collector._labelnames) for collector in collectors
        ]

    def request(self, exchange: Exchange, seconds: float) -> None:
        """Count a finished request."""
        key = (exchange.route, exchange.model, exchange.version, exchange.status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._requests.labels(*map(str, key))
        series.observe(seconds)
        if exchange.error:
            self._errors.labels(exchange.error).inc()

    def call(self, ref: ModelRef, size: int, seconds: float, outcome: str) -> None:
        """Count a call to Triton, with its outcome: ok, failed or cancelled."""
        name, version = ref.name, str(ref.version)
        self._call_inputs.labels(name, version).observe(size)
        self._call_seconds.labels(name, version, outcome).observe(seconds)

    def state(self, ref: ModelRef, *, ready: bool, waiting: int) -> None:
        """Set the gauges of a version."""
        self._ready.labels(ref.name, str(ref.version)).set(1 if ready else 0)
        self._waiting.labels(ref.name, str(ref.version)).set(waiting)

    def faults(self, count: int) -> None:
        """Set the number of contract faults."""
        self._faults.set(count)


def exposition(registry: CollectorRegistry) -> bytes:
    """The text that Prometheus scrapes; of all processes if they share a folder."""
    if prometheus_values.ValueClass.__name__ == "MmapedValue":
        _forget_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        merged = CollectorRegistry()
        MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
        return generate_latest(merged)
    return generate_latest(registry)


def _forget_dead(folder: Path) -> None:
    """Drop the gauges of processes that have ended; their counters stay."""
    for file in folder.glob("gauge_live*_*.db"):
        if not Path("/proc", file.stem.rpartition("_")[2]).exists():
            file.unlink(missing_ok=True)
