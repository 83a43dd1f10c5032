"""``python -m loadtests.judge``: simulates, writes docs/benchmarks/judge.md and judge.svg."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from loadtests.judge.curves import measure
from loadtests.judge.plot import draw
from loadtests.judge.report import markdown

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def main() -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.judge", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="runs of each kind, at least 1")
    parser.add_argument("--processes", type=int, default=1, help="how many simulate, at least 1")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for judge.md, judge.svg")
    options = parser.parse_args()
    if min(options.runs, options.processes) < 1:
        parser.error("--runs and --processes have to be at least 1")
    with ProcessPoolExecutor(options.processes) as pool:
        curves = measure(options.runs, pool)
    options.out.mkdir(parents=True, exist_ok=True)
    text = markdown(curves)
    (options.out / "judge.md").write_text(text)
    draw(curves, options.out / "judge.svg")
    print(text)


if __name__ == "__main__":
    main()
