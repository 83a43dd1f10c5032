"""The verdict on a run: pure, from what was seen."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from tests.chaos.plan import Errand, Kind
from tests.chaos.seen import Sample, Seen

ENDS: Final = frozenset({"completed", "failed", "canceled", "expired"})
_ORDER: Final = {"pending": 0, "processing": 1, **dict.fromkeys(ENDS, 2)}
_ENDS_OF: Final = {
    Kind.SPOILT: {"failed"},
    Kind.EXPIRING: {"expired"},
    Kind.CANCELED: {"canceled", "completed"},
}
SHOWN: Final = 5
"""Of the findings of one sort."""


def findings(seen: Seen) -> dict[str, list[str]]:
    """What is wrong, by its sort; empty if the promise was kept."""
    found: dict[str, list[str]] = defaultdict(list)
    for sort, told in _all(seen):
        found[sort].append(told)
    return dict(found)


def _all(seen: Seen) -> Iterator[tuple[str, str]]:
    for job, errand in seen.jobs.items():
        yield from _of_job(seen, job, errand)
    yield from _of_events(seen)
    for job in sorted(seen.listed - seen.jobs.keys()):
        yield "made twice", f"{job} is kept, but no client was told of it"
    for job in sorted(seen.jobs.keys() - seen.listed):
        yield "not listed", job
    for what, (_, accepted) in seen.stale.items():
        if accepted:
            yield "stale write accepted", f"{what}: {accepted}"
    yield from (("left behind", told) for told in seen.left)
    yield from (("refused", told) for told in seen.refused)


def _of_job(seen: Seen, job: str, errand: Errand) -> Iterator[tuple[str, str]]:
    told = f"{job} ({errand.kind} {errand.number})"
    last = seen.at_the_end.get(job)
    if last is None:
        yield "lost", f"{told} cannot be read"
        return
    if last.state not in ENDS:
        yield "never ended", f"{told} is {last.state} after {last.attempts} attempts"
        return
    yield from (("went back", f"{told}: {how}") for how in _backwards(seen.samples.get(job, [])))
    again = seen.again.get(job)
    if again != last:
        yield "changed after its end", f"{told}: {last} became {again}"
    if last.state not in _ENDS_OF.get(errand.kind, {"completed"}):
        yield "wrong end", f"{told} is {last.state}: {last.outcome}"
    elif last.state == "completed" and numbers(last.outcome) != errand.results:
        yield "wrong result", f"{told}: {last.outcome}"
    if job in seen.canceled and last.state != "canceled":
        yield "wrong end", f"{told} was said to be canceled and is {last.state}"


def _backwards(samples: list[Sample]) -> Iterator[str]:
    for earlier, later in itertools.pairwise(samples):
        if _ORDER[earlier.state] > _ORDER[later.state]:
            yield f"{earlier.state}, then {later.state}"
        if earlier.state in ENDS and (earlier.state, earlier.ended_at) != (
            later.state,
            later.ended_at,
        ):
            yield f"{earlier} became {later}"
        if earlier.progress > later.progress or earlier.attempts > later.attempts:
            yield f"{earlier}, then {later}"


def _of_events(seen: Seen) -> Iterator[tuple[str, str]]:
    kinds: dict[str, set[str]] = defaultdict(set)
    messages: dict[str, set[str]] = defaultdict(set)
    for event in seen.events:
        kinds[event.job].add(event.kind)
        messages[event.job].add(event.message)
    if seen.forged:
        yield "webhook not signed well", str(seen.forged)
    for job, last in seen.at_the_end.items():
        if last.state in ENDS and kinds[job] != {f"job.{last.state}"}:
            yield "webhook missing or wrong", f"{job} is {last.state}, told: {sorted(kinds[job])}"
        if len(messages[job]) > 1:
            yield "webhook under two ids", f"{job}: {sorted(messages[job])}"


def numbers(outcome: Any) -> list[float] | None:
    """The numbers of a result, of a batch in their order; None if it is none."""
    if not isinstance(outcome, dict):
        return None
    if "prediction" in outcome:
        return [outcome["prediction"]]
    items = outcome.get("results", outcome.get("items"))
    if not isinstance(items, list):
        return None
    return [item.get("prediction") for item in sorted(items, key=lambda item: item["index"])]
