"""What is counted of rollouts: weights, verdicts, what shadows did not see."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class RolloutMetrics:
    """The metrics of rollouts, registered once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them.

        Args:
            registry: Where.
        """
        self._weight = Gauge(
            "tidegate_rollout_weight_ratio",
            "Share of the subjects that a version answers in the running rollout.",
            ["model", "version"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._verdicts = Counter(
            "tidegate_rollout_verdicts",
            "Verdicts that took effect: advance or roll_back.",
            ["model", "decision"],
            registry=registry,
        )
        self._dropped = Counter(
            "tidegate_shadow_dropped",
            "Requests that a shadow did not see, by reason.",
            ["reason"],
            registry=registry,
        )
        self._known_drops: dict[str, int] = {}
        self._weighted: set[tuple[str, str]] = set()

    @property
    def collectors(self) -> tuple[Counter | Gauge, ...]:
        """All of them, for the documentation."""
        return (self._weight, self._verdicts, self._dropped)

    def weights(self, shares: Mapping[tuple[str, str], float]) -> None:
        """Set the shares of the candidates of now.

        Args:
            shares: 0 to 1, by model and version.
        """
        for gone in self._weighted - shares.keys():
            self._weight.labels(*gone).set(0)
        for (model, version), value in shares.items():
            self._weight.labels(model, version).set(value)
        self._weighted |= shares.keys()

    def judged(self, model: str, decision: str) -> None:
        """Count a verdict that took effect."""
        self._verdicts.labels(model, decision).inc()

    def dropped(self, totals: Mapping[str, int]) -> None:
        """Count what shadows did not see.

        Args:
            totals: Since the start, by reason.
        """
        for reason, total in totals.items():
            self._dropped.labels(reason).inc(total - self._known_drops.get(reason, 0))
            self._known_drops[reason] = total
