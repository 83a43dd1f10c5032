"""The figures of a run, and its findings, as JSON and as lines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.chaos.audit import SHOWN, findings
from tests.chaos.house import LEASE_S, House
from tests.chaos.seen import Seen

GOAL_S = LEASE_S + 5
"""Within which 99 % of the jobs of killed workers are to be taken again, seconds."""


class Report(Struct, frozen=True, kw_only=True):
    """A run.

    Attributes:
        acknowledged: Jobs that a client was told of.
        tries: Submissions sent.
        replayed: Of these, answered by the job of an earlier one.
        ends: Jobs by their end state.
        repeated: Jobs that were taken more than once.
        attempts: Takings of all jobs.
        blows: By what was hit.
        recovered: Jobs in the hands of workers that were killed.
        recovery_p50_s: From the kill until one was taken again.
        recovery_p99_s: Of 99 % of them.
        first_losses: Of them, jobs that no worker had been lost with before.
        first_p99_s: Of 99 % of those.
        stale: Stale writes by what they were: refused, accepted.
        abandoned: Attempts of real workers that did not count, by their metrics.
        deliveries: Webhooks received.
        ended_alone: Processes that ended without a blow.
        findings: What is wrong, by its sort.
    """

    acknowledged: int
    tries: int
    replayed: int
    ends: Mapping[str, int]
    repeated: int
    attempts: int
    blows: Mapping[str, int]
    recovered: int
    recovery_p50_s: float
    recovery_p99_s: float
    first_losses: int
    first_p99_s: float
    stale: Mapping[str, Sequence[int]]
    abandoned: int
    deliveries: int
    ended_alone: int
    findings: Mapping[str, Sequence[str]]


def report(seen: Seen, house: House) -> Report:
    """The figures of what was seen."""
    times = sorted(each.seconds for each in seen.recoveries)
    first = sorted(each.seconds for each in seen.recoveries if each.is_first)
    last = list(seen.at_the_end.values())
    return Report(
        acknowledged=len(seen.jobs),
        tries=seen.tries,
        replayed=seen.replayed,
        ends=Counter(sample.state for sample in last),
        repeated=sum(sample.attempts > 1 for sample in last),
        attempts=sum(sample.attempts for sample in last),
        blows=seen.blows,
        recovered=len(times),
        recovery_p50_s=_quantile(times, 0.5),
        recovery_p99_s=_quantile(times, 0.99),
        first_losses=len(first),
        first_p99_s=_quantile(first, 0.99),
        stale=seen.stale,
        abandoned=_abandoned(house),
        deliveries=len(seen.events),
        ended_alone=len(house.restarts),
        findings=findings(seen),
    )


def lines(found: Report) -> list[str]:
    """The same for people."""
    refused = sum(refused for refused, _ in found.stale.values())
    accepted = sum(accepted for _, accepted in found.stale.values())
    hits = ", ".join(f"{what} {count}" for what, count in sorted(found.blows.items()))
    ends = ", ".join(f"{state} {count}" for state, count in sorted(found.ends.items()))
    told = [
        f"acknowledged {found.acknowledged} (submissions sent {found.tries}, "
        f"replayed {found.replayed})",
        f"ends: {ends}",
        f"taken more than once {found.repeated}; attempts {found.attempts}",
        f"blows: {hits}; ended without one: {found.ended_alone}",
        f"in the hands of killed workers {found.recovered}: taken again after "
        f"{found.recovery_p50_s:.2f} s (p50), {found.recovery_p99_s:.2f} s "
        f"(p99, goal {GOAL_S:g} s); the {found.first_losses} that were lost for the first time "
        f"after {found.first_p99_s:.2f} s (p99)",
        f"stale writes: refused {refused}, accepted {accepted}; attempts of workers that did not "
        f"count {found.abandoned}",
        f"webhooks received {found.deliveries}",
    ]
    for sort, each in found.findings.items():
        told += [f"FOUND {sort}: {len(each)}", *(f"    {line}" for line in each[:SHOWN])]
    return [*told, "the promise was broken" if found.findings else "the promise was kept"]


def say(line: str) -> None:
    """Write a line to standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _quantile(times: Sequence[float], part: float) -> float:
    return times[min(len(times) - 1, int(len(times) * part))] if times else 0.0


def _abandoned(house: House) -> int:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(house.folder / "metrics"))  # type: ignore[no-untyped-call]
    return int(
        sum(
            sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "tidegate_job_attempts_total"
            and sample.labels.get("outcome") == "abandoned"
        )
    )
