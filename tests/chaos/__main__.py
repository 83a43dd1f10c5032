"""``python -m tests.chaos``: jobs while everything is killed, and whether the promise was kept."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos import defences
from tests.chaos.house import kept_models
from tests.chaos.report import lines, report, say
from tests.chaos.run import Order, carried_out
from tests.stack import started_triton


def main() -> None:
    """Run, print, and exit with 1 if the promise was broken."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _options()
    with tempfile.TemporaryDirectory(prefix="tidegate-chaos-") as name:
        folder = Path(name)
        with _triton(folder, options) as (address, models):
            if options.defences is not None:
                sys.exit(defences.main(folder, address, models, options))
            order = Order(
                folder=folder, triton=address, models=models, seed=options.seed,
                jobs=options.jobs, seconds=options.seconds, patience_s=options.patience,
                durable=not options.forgetful,
            )  # fmt: skip
            found = report(*asyncio.run(carried_out(order)))
            for line in lines(found):
                say(line)
            if options.json is not None:
                options.json.write_bytes(msgspec.json.encode(found))
            if options.keep is not None:
                _keep_logs(folder, options.keep)
    sys.exit(bool(found.findings))


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="equal seeds plan equal runs")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs to be acknowledged")
    parser.add_argument("--seconds", type=float, default=200.0, help="over how long")
    parser.add_argument("--patience", type=float, default=90.0,
                        help="seconds without an end until the rest counts as stuck")  # fmt: skip
    parser.add_argument("--defences", nargs="*", metavar="NAME",
                        help="take defences out, by turns (all), and see it fail")  # fmt: skip
    parser.add_argument("--triton", help="HOST:PORT of one with the models, instead of its own")
    parser.add_argument("--models", type=Path, help="its repository")
    parser.add_argument("--forgetful", action="store_true",
                        help="a system of record without an append-only file")  # fmt: skip
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--keep", type=Path, help="a folder for the logs")
    options = parser.parse_args()
    if options.jobs < 1 or options.seconds <= 0 or options.patience <= 0:
        parser.error("jobs, seconds and patience have to be above 0")
    if (options.triton is None) != (options.models is None):
        parser.error("--triton and --models go together")
    return options


@contextlib.contextmanager
def _triton(folder: Path, options: Any) -> Iterator[tuple[str, Path]]:
    if options.triton is not None:
        yield options.triton, options.models
        return
    models = kept_models(folder / "models")
    data = folder / "triton"
    data.mkdir()
    with started_triton(data, models) as triton:
        yield triton.grpc, models


def _keep_logs(folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (kept / log.name).write_bytes(log.read_bytes())


if __name__ == "__main__":
    main()
