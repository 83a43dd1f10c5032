"""``python -m loadtests.rollouts``: measures and writes docs/benchmarks/rollouts.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import structs

from loadtests.bench.cases import ROOT
from loadtests.rollouts.gateway import Gateway, started
from loadtests.rollouts.handover import handover
from loadtests.rollouts.models import furnish, make_linear_the_stable, stock
from loadtests.rollouts.report import markdown
from loadtests.rollouts.results import Results, ShadowCost, TakenBack
from loadtests.rollouts.shadows import Turns
from loadtests.rollouts.verdicts import identical, taken_back

PARTS: Final = ("judge", "handover", "shadow")


def main() -> None:
    """Measure, print, write."""
    options = _options()
    results = Results({
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": str(len(os.sched_getaffinity(0))),
        "load average before": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
    })  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tidegate-rollouts-") as name:
        folder = Path(name)
        if {"judge", "handover"} & set(options.parts):
            results = _judged(results, folder, options)
        if "shadow" in options.parts:
            results = structs.replace(results, shadows=_shadowed(folder, options))
    print(msgspec.json.encode(results).decode())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rollouts.md").write_text(markdown(results))


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m loadtests.rollouts", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--seconds", type=float, default=150.0,
                        help="how long an identical candidate is judged, at least 1")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=4,
                        help="candidates of each kind that are taken back, at least 1")  # fmt: skip
    parser.add_argument("--turns", type=int, default=8,
                        help="blocks with and without a shadow, at least 1")  # fmt: skip
    parser.add_argument("--block", type=float, default=5.0,
                        help="length of a block, seconds, at least 1")  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks",
                        help="folder for rollouts.md")  # fmt: skip
    options = parser.parse_args()
    if min(options.seconds, options.repeats, options.turns, options.block) < 1:
        parser.error("every number has to be at least 1")
    return options


def _judged(results: Results, folder: Path, options: Any) -> Results:
    house = furnish(folder / "house")
    with started(folder / "judged", house.repository, workers=2) as gateway:
        if "judge" in options.parts:
            results = structs.replace(
                results,
                failing=_taken_back(gateway, "failing", options.repeats),
                slow=_taken_back(gateway, "slow", options.repeats),
                identical=identical(gateway, "alike", options.seconds),
            )
            _say(f"identical: {results.identical}")
        if "handover" in options.parts:
            results = structs.replace(results, handover=handover(gateway, house))
            _say(f"handover: {results.handover}")
    return results


def _taken_back(gateway: Gateway, model: str, repeats: int) -> list[TakenBack]:
    found = []
    for seed in range(repeats):
        found.append(taken_back(gateway, model, seed))
        _say(f"{model}: {found[-1]}")
    return found


def _shadowed(folder: Path, options: Any) -> list[ShadowCost]:
    pairs = stock(folder / "stock")
    with started(folder / "shadowed", folder / "stock", workers=1) as gateway:
        make_linear_the_stable(gateway)
        return [
            Turns(gateway, pair, folder, _say).measure(options.turns, options.block)
            for pair in pairs
        ]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
