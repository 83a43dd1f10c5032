"""What was promised, and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

from msgspec import Struct

from loadtests.bench.results import Report, Sample

RPS: Final[Callable[[Sample], float]] = attrgetter("rps")
P50: Final[Callable[[Sample], float]] = attrgetter("p50_ms")
TAIL: Final[Callable[[Sample], float]] = lambda sample: sample.p99_ms / sample.p50_ms  # noqa: E731
TO_FASTAPI: Final = ("tidegate", "fastapi")
TO_TRITON: Final = ("tidegate", "triton")
BATCH: Final = "64"


class Goal(Struct, frozen=True):
    """One promise.

    Attributes:
        what: What is measured.
        unit: Written after the numbers.
        bound: The promised bound.
        at_most: True if the bound is an upper one.
        measured: What was measured.
    """

    what: str
    unit: str
    bound: float
    at_most: bool
    measured: float

    @property
    def held(self) -> bool:
        """True if the promise is kept."""
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


def goals(report: Report) -> list[Goal]:
    """Every promise that the run says something about."""
    return [*_throughput(report), *_latency(report), *_process(report), *_backend(report)]


def _throughput(report: Report) -> Iterator[Goal]:
    if report.has("wine", 64):
        yield Goal(
            "wine, 64 connections: requests/s against the FastAPI gateway", " x", 2.5,
            at_most=False, measured=report.ratio("wine", TO_FASTAPI, 64, RPS),
        )  # fmt: skip
        yield Goal(
            "wine, 64 connections: requests/s against Triton alone", " x", 0.40,
            at_most=False, measured=report.ratio("wine", TO_TRITON, 64, RPS),
        )  # fmt: skip
    if report.has("encoder", 16):
        yield Goal(
            "encoder, 16 connections: requests/s against Triton alone", " x", 0.95,
            at_most=False, measured=report.ratio("encoder", TO_TRITON, 16, RPS),
        )  # fmt: skip


def _latency(report: Report) -> Iterator[Goal]:
    if report.has("wine", 64):
        yield Goal(
            "wine, 64 connections: p99 against p50", " x", 4.0,
            at_most=True, measured=report.median("wine", "tidegate", 64, TAIL),
        )  # fmt: skip
    for case in report.cases():
        if report.has(case, 1):
            yield Goal(
                f"{case}, 1 connection: p50 above Triton alone", " ms", 1.0,
                at_most=True, measured=report.difference(case, TO_TRITON, 1, P50),
            )  # fmt: skip


def _process(report: Report) -> Iterator[Goal]:
    yield Goal(
        "HTTP process: resident after the run", " MiB", 120,
        at_most=True, measured=report.memory["tidegate"].rss,
    )  # fmt: skip
    yield Goal(
        "control plane: start to ready, Triton being up", " s", 2.0,
        at_most=True, measured=report.start_s,
    )  # fmt: skip


def _backend(report: Report) -> Iterator[Goal]:
    for model, sizes in report.backend.items():
        if BATCH in sizes:
            yield Goal(
                f"{model}: our backend against bare ONNX Runtime, batch {BATCH}", " x", 1.3,
                at_most=True, measured=sizes[BATCH]["ratio_execute"],
            )  # fmt: skip
