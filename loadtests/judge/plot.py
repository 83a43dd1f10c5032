"""The operating curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from loadtests.judge.curves import LONG_STEP_S, WITHIN_S, Curves, Score
from loadtests.judge.population import LOOK_S

COLOURS: Final = ("#c0792a", "#1f6f8b", "#7f8c8d")
SEED: Final = "tidegate"
"""Fixes the ids inside the SVG, so that equal results give equal files."""


def draw(curves: Curves, path: Path) -> None:
    """Write an SVG: detection by errors, by latency, and false alarms by number of looks."""
    mpl.rcParams.update({"svg.hashsalt": SEED, "svg.fonttype": "none"})
    figure = Figure(figsize=(13.2, 4.0), layout="constrained")
    errors, slower, peeking = figure.subplots(1, 3)
    _detection(errors, {100 * rate: score for rate, score in curves.errors.items()})
    errors.set_xlabel("additional failures, % of requests")
    _detection(slower, curves.slower)
    slower.set_xlabel("latency, as a multiple of the control's")
    looks = np.arange(1, round(LONG_STEP_S / LOOK_S) + 1)
    for colour, (name, score) in zip(COLOURS, curves.peeking.items(), strict=False):
        alarms = [100 * score.share(look * LOOK_S) for look in looks]
        peeking.plot(looks, alarms, color=colour, label=name)
    peeking.set_xlabel("looks")
    peeking.set_ylabel("identical candidates rolled back, %")
    peeking.axhline(1, color="black", linestyle=":", linewidth=1)
    for axis in (errors, slower, peeking):
        axis.set_ylim(-3, 103)
        axis.grid(visible=True, alpha=0.3)
        axis.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})


def _detection(axis: Any, scores: dict[float, Score]) -> None:
    for colour, within_s in zip(COLOURS, WITHIN_S, strict=True):
        shares = [100 * score.share(within_s) for score in scores.values()]
        axis.plot(list(scores), shares, color=colour, marker="o", label=f"within {within_s:g} s")
    axis.set_ylabel("rolled back, %")
