"""``python -m loadtests.jobs``: measures and writes docs/benchmarks/jobs.md."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import structs

from loadtests.bench.cases import CASES, ROOT
from loadtests.bench.load import generator_name
from loadtests.jobs.listing import listing
from loadtests.jobs.rates import House, write_bodies
from loadtests.jobs.report import markdown
from loadtests.jobs.results import Results, Submissions, Throughput
from loadtests.rollouts.gateway import started

PARTS: Final = ("submit", "through", "list")
WARM_S: Final = 2.0
"""Before each first measurement."""


def main() -> None:
    """Measure, print, write."""
    options = _options()
    results = Results({
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": str(len(os.sched_getaffinity(0))),
        "load average before": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
        "generator": generator_name(),
    })  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tidegate-jobs-") as name:
        folder = Path(name)
        models = _models(folder / "models")
        if {"submit", "through"} & set(options.parts):
            results = _rated(results, folder, models, options)
        if "list" in options.parts:
            with _gateway(folder / "listed", models, 1) as gateway:
                found = listing(gateway, options.jobs, options.repeats)
            _say(f"{found}")
            results = structs.replace(results, listing=found)
    print(msgspec.json.encode(results).decode())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "jobs.md").write_text(markdown(results))


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m loadtests.jobs", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--job-workers", nargs="+", type=int, default=[0, 1, 2],
                        help="processes that work on jobs, one run each")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=15.0,
                        help="length of a run of submissions, at least 1")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=200,
                        help="how often each page is asked for, at least 1")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1_000_000,
                        help="finished jobs of a tenant that is listed, at least 1000")  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks",
                        help="folder for jobs.md")  # fmt: skip
    options = parser.parse_args()
    if (
        min(options.seconds, options.repeats, options.jobs / 1000) < 1
        or min(options.job_workers) < 0
    ):
        parser.error("a number is too small")
    return options


def _rated(results: Results, folder: Path, models: Path, options: Any) -> Results:
    bodies = write_bodies(folder / "bodies")
    submissions: list[Submissions] = []
    throughput: list[Throughput] = []
    for count in options.job_workers:
        with _gateway(folder / f"rated-{count}", models, count) as gateway:
            house = House(gateway, bodies, count)
            if count and "through" in options.parts:
                house.throughput(WARM_S)
                throughput.append(house.throughput(options.seconds))
                _say(f"{throughput[-1]}")
            if "submit" in options.parts:
                submissions.append(house.submissions(options.seconds))
                _say(f"{submissions[-1]}")
    return structs.replace(results, submissions=submissions, throughput=throughput)


def _gateway(folder: Path, models: Path, job_workers: int) -> Any:
    most = "10000000"
    workers = ("--job-workers", str(job_workers))
    return started(folder, models, 1, *workers, jobs_pending_per_tenant=most)


def _models(folder: Path) -> Path:
    backing = CASES["wine"].backing
    shutil.copytree(ROOT / "model_repository" / backing, folder / backing)
    return folder


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
