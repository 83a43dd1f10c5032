"""What is counted of webhooks: attempts, how they went, and how late they are."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WebhookMetrics:
    """The metrics of webhooks, registered once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them.

        Args:
            registry: Where.
        """
        self._attempts = Histogram(
            "tidegate_webhook_attempt_duration_seconds",
            "Time of one call to a receiver, by what came of it: a class of statuses or an error.",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "tidegate_webhook_failed",
            "Deliveries that were given up.",
            registry=registry,
        )
        self._overdue = Gauge(
            "tidegate_webhook_overdue_seconds",
            "How long the turn has passed of the tenant that waits the longest.",
            multiprocess_mode="livemax",
            registry=registry,
        )

    @property
    def collectors(self) -> tuple[Histogram | Counter | Gauge, ...]:
        """All of them, for the documentation."""
        return (self._attempts, self._failed, self._overdue)

    def attempted(self, status: int, error: str, seconds: float) -> None:
        """Count an attempt.

        Args:
            status: HTTP status; 0 without an answer.
            error: Why there was no answer, one word.
            seconds: How long it took.
        """
        outcome = f"{status // 100}xx" if status else error
        self._attempts.labels(outcome).observe(seconds)

    def gave_up(self) -> None:
        """Count a delivery that was given up."""
        self._failed.inc()

    def overdue(self, seconds: float) -> None:
        """Set how long the turn has passed of whoever waits the longest."""
        self._overdue.set(seconds)
