"""What was measured, and the medians of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from msgspec import Struct

from loadtests.bench.processes import Memory


class Sample(Struct, frozen=True):
    """One run of one target.

    Attributes:
        case: Key of the case.
        target: Who was asked.
        connections: Requests in flight.
        round: Number of the round, from 0; the targets of a round ran one after another.
        rps: Good answers a second.
        p50_ms: Median time of an answer.
        p99_ms: Time within which 99 % of the answers came.
        bad: Answers that were no 2xx, and answers that never came.
        front_cpu_ms: Processor time of the target's own processes, milliseconds a request; 0 for
            Triton alone.
        triton_cpu_ms: Processor time of Triton and its models' processes, milliseconds a request.
    """

    case: str
    target: str
    connections: int
    round: int
    rps: float
    p50_ms: float
    p99_ms: float
    bad: int
    front_cpu_ms: float
    triton_cpu_ms: float


class Report(Struct, frozen=True):
    """A whole run of the benchmark.

    Attributes:
        environment: Machine, versions, date, generator, load before the run.
        samples: Every run.
        memory: By role, after the last run.
        start_s: Start of the control plane to its readiness, Triton being up, seconds.
        checked: Answers that were compared with Triton's own.
        admission: What ``admission.py`` says; empty if it was left out.
        backend: What ``backend.py`` says, by Triton model and batch size; empty if it was left out.
    """

    environment: dict[str, str]
    samples: list[Sample]
    memory: dict[str, Memory]
    start_s: float
    checked: int
    admission: dict[str, dict[str, float]]
    backend: dict[str, dict[str, dict[str, float]]]

    def cases(self) -> list[str]:
        """Keys of the cases, in the order in which they were measured."""
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def connections(self) -> list[int]:
        """The numbers of connections, ascending."""
        return sorted({sample.connections for sample in self.samples})

    def median(
        self, case: str, target: str, connections: int, value: Callable[[Sample], float]
    ) -> float:
        """Median over the rounds."""
        return statistics.median(map(value, self._rounds(case, target, connections)))

    def ratio(
        self, case: str, targets: tuple[str, str], connections: int,
        value: Callable[[Sample], float],
    ) -> float:  # fmt: skip
        """Median over the rounds of the first target's value divided by the second's."""
        pairs = self._pairs(case, targets, connections)
        return statistics.median(value(one) / value(other) for one, other in pairs)

    def difference(
        self, case: str, targets: tuple[str, str], connections: int,
        value: Callable[[Sample], float],
    ) -> float:  # fmt: skip
        """Median over the rounds of the first target's value less the second's."""
        pairs = self._pairs(case, targets, connections)
        return statistics.median(value(one) - value(other) for one, other in pairs)

    def bad(self, case: str, target: str, connections: int) -> int:
        """Bad answers of all rounds."""
        return sum(sample.bad for sample in self._rounds(case, target, connections))

    def has(self, case: str, connections: int) -> bool:
        """True if the case was measured with so many connections."""
        return any(s.case == case and s.connections == connections for s in self.samples)

    def _rounds(self, case: str, target: str, connections: int) -> list[Sample]:
        return [
            sample
            for sample in self.samples
            if (sample.case, sample.target, sample.connections) == (case, target, connections)
        ]

    def _pairs(
        self, case: str, targets: tuple[str, str], connections: int
    ) -> list[tuple[Sample, Sample]]:
        first, second = (self._rounds(case, target, connections) for target in targets)
        return list(zip(first, second, strict=True))
