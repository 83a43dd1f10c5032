"""The rounds: every target in turn, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from loadtests.bench.cases import CASES, TARGETS, Case, Payloads, headers, path, payloads
from loadtests.bench.check import Verdict, check, reference
from loadtests.bench.load import Load, LoadResult, run
from loadtests.bench.results import Sample
from loadtests.bench.stack import Stack

WARM_UP_S: Final = 1.0


class Plan(Struct, frozen=True):
    """What to measure.

    Attributes:
        cases: Keys of the cases.
        connections: Numbers of requests in flight.
        rounds: How often each target is measured at each.
        seconds: Length of one run.
    """

    cases: list[str]
    connections: list[int]
    rounds: int
    seconds: float


class _Subject(Struct, frozen=True):
    case: Case
    payloads: Payloads
    bodies: dict[str, Path]
    expected: list[Verdict]


class Bench:
    """Measures a stack.

    Attributes:
        checked: Answers that were compared with Triton's own.
    """

    def __init__(self, stack: Stack, folder: Path, say: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            stack: Who is measured.
            folder: For the payload files.
            say: Takes a line about each step.
        """
        self.checked = 0
        self._stack = stack
        self._folder = folder
        self._say = say

    def measure(self, plan: Plan) -> list[Sample]:
        """Take every sample of a plan.

        Raises:
            WrongAnswer: If a target predicts something else than Triton.
        """
        samples: list[Sample] = []
        for key in plan.cases:
            subject = self._subject(CASES[key])
            for connections in plan.connections:
                for number in range(plan.rounds):
                    samples += self._round(subject, connections, number, plan.seconds)
        return samples

    def _subject(self, case: Case) -> _Subject:
        made = payloads(case)
        bodies = {}
        for target in TARGETS:
            bodies[target] = self._folder / f"{case.key}-{target}.jsonl"
            lines = made.triton if target == "triton" else made.public
            bodies[target].write_text("\n".join(lines) + "\n")
        return _Subject(case, made, bodies, reference(case, made, self._stack.urls["triton"]))

    def _round(
        self, subject: _Subject, connections: int, number: int, seconds: float
    ) -> list[Sample]:
        """One run of each target; who begins changes from round to round."""
        begin = number % len(TARGETS)
        samples = []
        for target in (*TARGETS[begin:], *TARGETS[:begin]):
            load = self._load(subject, target, connections, seconds)
            if number == 0:
                self._warm_up(subject, target, load)
            sample = self._sample(subject.case, target, number, load)
            samples.append(sample)
            self._say(
                f"{subject.case.key} c={connections} round {number + 1} {target}: "
                f"{sample.rps:.0f}/s p50 {sample.p50_ms:.2f} ms p99 {sample.p99_ms:.2f} ms"
                + (f" BAD {sample.bad}" if sample.bad else "")
            )
        return samples

    def _load(self, subject: _Subject, target: str, connections: int, seconds: float) -> Load:
        case = subject.case
        url = self._stack.urls[target] + path(case, target)
        length_s = seconds * case.patience
        named = headers(case, target, self._stack.key)
        return Load(url, named, subject.bodies[target], connections, length_s)

    def _warm_up(self, subject: _Subject, target: str, load: Load) -> None:
        """Load the target, unmeasured, and meanwhile compare its answers with Triton's."""
        with ThreadPoolExecutor(1) as background:
            warming = background.submit(run, structs.replace(load, seconds=WARM_UP_S))
            self.checked += check(target, load, subject.payloads, subject.expected)
            warming.result()

    def _sample(self, case: Case, target: str, number: int, load: Load) -> Sample:
        before = self._cpu_s(target)
        seen = run(load)
        spent = [after - start for after, start in zip(self._cpu_s(target), before, strict=True)]
        good = seen.answers - seen.refused
        return Sample(
            case=case.key,
            target=target,
            connections=load.connections,
            round=number,
            rps=good / seen.seconds,
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            bad=seen.refused + seen.broken,
            front_cpu_ms=_each(spent[0], seen),
            triton_cpu_ms=_each(spent[1], seen),
        )

    def _cpu_s(self, target: str) -> tuple[float, float]:
        """Processor time so far of a target's own processes and of Triton's, seconds."""
        trees = self._stack.trees
        front = 0.0 if target == "triton" else trees[target].cpu_s()
        if target == "tidegate":
            front += trees["others"].cpu_s()
        return front, trees["triton"].cpu_s()


def _each(seconds: float, seen: LoadResult) -> float:
    return seconds * 1000 / max(1, seen.answers)
