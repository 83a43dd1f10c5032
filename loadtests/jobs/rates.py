"""How many jobs are taken in, and how many are done, in a second."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil
import redis

from control_plane.jobs import layout
from loadtests.bench.cases import CASES, payloads
from loadtests.bench.load import Load, LoadResult, run
from loadtests.jobs.results import Submissions, Throughput
from loadtests.rollouts.gateway import Gateway

CONNECTIONS: Final = 64
PATIENCE_S: Final = 300.0
LOOK_S: Final = 0.02
DEMO: Final = "demo"
MIB: Final = 1024 * 1024


def write_bodies(path: Path) -> Path:
    """Write the submissions, one a line: single predictions of the smallest model."""
    case = CASES["wine"]
    lines = [
        json.dumps({"model": case.model, **json.loads(text)}) for text in payloads(case).public
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


class House:
    """A gateway whose jobs are counted on its system of record."""

    def __init__(self, gateway: Gateway, bodies: Path, job_workers: int) -> None:
        """Measure a gateway.

        Args:
            gateway: That is ready.
            bodies: See :func:`write_bodies`.
            job_workers: Its processes that work on jobs.
        """
        self._gateway = gateway
        self._bodies = bodies
        self._job_workers = job_workers
        self.server: Any = redis.Redis.from_url(gateway.records_url)

    def submissions(self, seconds: float) -> Submissions:
        """Submit at 64 connections for some seconds, while the workers do what comes."""
        before = self._done()
        load = self._submit(seconds)
        return Submissions(self._job_workers, load, self._done() - before)

    def throughput(self, seconds: float) -> Throughput:
        """Submit at 64 connections for some seconds, and wait for the last end."""
        before, failed = self._done(), self._failed()
        begun = time.perf_counter()
        self._submit(seconds)
        submitted = time.perf_counter()
        self.drain()
        ended = time.perf_counter()
        return Throughput(
            self._job_workers, self._done() - before, ended - begun, submitted - begun,
            self._failed() - failed, self._worker_rss(),
        )  # fmt: skip

    def drain(self) -> None:
        """Wait until no job is open.

        Raises:
            RuntimeError: If some are after five minutes.
        """
        _until(lambda: not self.server.hlen(layout.PREFIX + "pending"))

    def _submit(self, seconds: float) -> LoadResult:
        headers = {
            "Authorization": f"Bearer {self._gateway.key}",
            "Content-Type": "application/json",
        }
        url = f"{self._gateway.url}/api/v1/jobs"
        load = run(Load(url, headers, self._bodies, CONNECTIONS, seconds))
        if load.refused or load.broken:
            raise RuntimeError(f"submissions were refused: {load}")
        return load

    def _done(self) -> int:
        return int(self.server.zcard(layout.KEPT))

    def _failed(self) -> int:
        return int(self.server.zcard(layout.of_kind(DEMO, "failed", CASES["wine"].model)))

    def _worker_rss(self) -> float:
        """Of the largest process that works on jobs, MiB."""
        return max(
            (
                process.memory_info().rss / MIB
                for process in psutil.Process().children(recursive=True)
                if process.cmdline()[-2:] == ["process", "worker"]
            ),
            default=0.0,
        )


def _until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not come():
        if time.monotonic() > end:
            raise RuntimeError(f"jobs are open after {PATIENCE_S:g} s")
        time.sleep(LOOK_S)
