"""The results as a picture."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtests.bench.cases import CASES, TARGETS
from loadtests.bench.report import NAMES
from loadtests.bench.results import Report

COLOURS: Final = {"triton": "#7f8c8d", "fastapi": "#c0792a", "tidegate": "#1f6f8b"}
SEED: Final = "tidegate"
"""Fixes the ids inside the SVG, so that equal results give equal files."""


def draw(report: Report, path: Path) -> None:
    """Write an SVG: a column a model, requests per second above, p50 and p99 below."""
    mpl.rcParams.update({"svg.hashsalt": SEED, "svg.fonttype": "none"})
    cases = report.cases()
    figure = Figure(figsize=(4.2 * len(cases), 6.4), layout="constrained")
    axes = figure.subplots(2, len(cases), squeeze=False)
    for column, case in enumerate(cases):
        axes[0][column].set_title(CASES[case].title)
        _lines(axes[0][column], report, case, "rps", "requests/s", solid=True)
        _lines(axes[1][column], report, case, "p50_ms", "ms (solid p50, dotted p99)", solid=True)
        _lines(axes[1][column], report, case, "p99_ms", "ms (solid p50, dotted p99)", solid=False)
        axes[1][column].set_yscale("log")
        axes[0][column].set_ylim(bottom=0)
    axes[0][0].legend()
    figure.savefig(path, format="svg", metadata={"Date": None})


def _lines(axis: Any, report: Report, case: str, name: str, label: str, *, solid: bool) -> None:
    connections = report.connections()
    for target in TARGETS:
        values = [report.median(case, target, each, attrgetter(name)) for each in connections]
        axis.plot(
            range(len(connections)), values, color=COLOURS[target],
            label=NAMES[target] if solid else None,
            linestyle="-" if solid else ":", marker="o" if solid else None,
        )  # fmt: skip
    axis.set_xticks(range(len(connections)), [str(each) for each in connections])
    axis.set_xlabel("connections")
    axis.set_ylabel(label)
    axis.grid(visible=True, alpha=0.3)
