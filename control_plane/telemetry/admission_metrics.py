"""What is counted of admission: decisions, refusals, blocks."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class AdmissionMetrics:
    """The metrics of admission, registered once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them.

        Args:
            registry: Where.
        """
        self._decisions = Counter(
            "tidegate_admission_decisions",
            "Requests that asked for admission: granted ahead, asked of the limits server, or "
            "decided alone while it was away.",
            ["how"],
            registry=registry,
        )
        self._refusals = Counter(
            "tidegate_admission_refusals",
            "Requests that the accounts refused, by what was used up.",
            ["reason"],
            registry=registry,
        )
        self._blocks = Counter(
            "tidegate_abuse_blocks",
            "Blocks that the abuse rules put.",
            ["rule", "level"],
            registry=registry,
        )
        self._blocked = Gauge(
            "tidegate_abuse_blocks_standing",
            "Blocks that stand, of rules and of operators.",
            multiprocess_mode="livemax",
            registry=registry,
        )

    @property
    def collectors(self) -> tuple[Counter | Gauge, ...]:
        """All of them, for the documentation."""
        return (self._decisions, self._refusals, self._blocks, self._blocked)

    def decisions(self, counts: Mapping[str, int]) -> None:
        """Count requests that asked for admission, by how that was decided."""
        for how, count in counts.items():
            self._decisions.labels(how).inc(count)

    def refused(self, reason: str) -> None:
        """Count a request that the accounts refused."""
        self._refusals.labels(reason).inc()

    def blocked(self, rule: str, level: str) -> None:
        """Count a block that a rule put."""
        self._blocks.labels(rule, level).inc()

    def standing(self, blocks: int) -> None:
        """Set the number of blocks that stand."""
        self._blocked.set(blocks)
