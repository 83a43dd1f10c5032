"""What is counted of jobs, by the processes that work on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

WAITS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
"""Seconds; jobs take from milliseconds to hours."""


class JobMetrics:
    """The metrics of jobs, registered once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them.

        Args:
            registry: Where.
        """
        self._attempts = Counter(
            "tidegate_job_attempts",
            "Attempts at jobs, by how they ended: completed, failed, retried, handed_back, or "
            "abandoned as the job was canceled, expired or another worker's by then.",
            ["task", "model", "outcome"],
            registry=registry,
        )
        self._starts = Histogram(
            "tidegate_job_start_seconds",
            "Time from when a job could be taken to its first attempt.",
            ["model"],
            buckets=WAITS,
            registry=registry,
        )
        self._ends = Histogram(
            "tidegate_job_duration_seconds",
            "Time from the submission of a job to the end that a worker brought about.",
            ["task", "model"],
            buckets=WAITS,
            registry=registry,
        )
        self._held = Gauge(
            "tidegate_jobs_held",
            "Jobs in the hands of workers.",
            ["size"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._waiting = Gauge(
            "tidegate_jobs_waiting",
            "Jobs that wait for a worker; delayed ones are not among them.",
            ["size", "priority"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self._delayed = Gauge(
            "tidegate_jobs_delayed",
            "Jobs that wait for a time: their start, or their next attempt.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self._swept = Counter(
            "tidegate_jobs_swept",
            "Jobs found by the clock: expired, recovered from workers that were lost, dead after "
            "the last attempt, forgotten.",
            ["what"],
            registry=registry,
        )
        self._refunds = Counter(
            "tidegate_job_refunded_units",
            "Units of quota given back for jobs.",
            registry=registry,
        )

    @property
    def collectors(self) -> tuple[Counter | Gauge | Histogram, ...]:
        """All of them, for the documentation."""
        return (
            self._attempts,
            self._starts,
            self._ends,
            self._held,
            self._waiting,
            self._delayed,
            self._swept,
            self._refunds,
        )

    def started(self, model: str, seconds: float) -> None:
        """Note how long a job had waited for its first attempt."""
        self._starts.labels(model).observe(max(0.0, seconds))

    def attempted(self, task: str, model: str, outcome: str) -> None:
        """Count an attempt that ended."""
        self._attempts.labels(task, model, outcome).inc()

    def ended(self, task: str, model: str, seconds: float) -> None:
        """Note how long a job took from its submission."""
        self._ends.labels(task, model).observe(max(0.0, seconds))

    def held(self, size: str, count: int) -> None:
        """Set how many jobs this process holds."""
        self._held.labels(size).set(count)

    def waiting(self, ready: Mapping[tuple[str, str], int], delayed: int) -> None:
        """Set how many jobs wait.

        Args:
            ready: For a worker, by size and priority.
            delayed: For a time.
        """
        for (size, priority), count in ready.items():
            self._waiting.labels(size, priority).set(count)
        self._delayed.set(delayed)

    def swept(self, expired: int, recovered: int, dead: int) -> None:
        """Count what a sweep did."""
        for what, count in (("expired", expired), ("recovered", recovered), ("dead", dead)):
            if count:
                self._swept.labels(what).inc(count)

    def forgotten(self, count: int) -> None:
        """Count jobs that were kept long enough."""
        if count:
            self._swept.labels("forgotten").inc(count)

    def refunded(self, units: int) -> None:
        """Count units that were given back."""
        self._refunds.inc(units)
