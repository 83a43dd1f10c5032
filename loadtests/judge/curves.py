"""Repeats runs: how often the judge is wrong, and how soon it is right."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Final

from msgspec import Struct

from control_plane.routing.judge.verdict import judge
from loadtests.judge.population import Fault, World
from loadtests.judge.runs import PLAN, Judge, Outcome, run
from loadtests.judge.single_look import single_look

USUAL: Final = World()
HEAVY: Final = World(
    subjects=1000, rate_spread=1.6, subject_spread=0.8, errors=0.02, error_spread=2.0
)
LONG_STEP_S: Final = 600.0
WITHIN_S: Final = (30.0, 60.0, 120.0)
ERRORS: Final = (0.01, 0.02, 0.03, 0.05, 0.1)
SLOWER: Final = (1.25, 1.4, 1.5, 1.7, 2.0, 3.0)


class Identical(Struct, frozen=True):
    """A way in which candidate and control are alike.

    Attributes:
        name: In words.
        world: Who asks.
        fault: What is wrong with the candidate, within its guards.
        weights: The candidate's share of each step.
        controls: The control's, if it differs.
    """

    name: str
    world: World
    fault: Fault = Fault()
    weights: tuple[float, ...] = PLAN
    controls: tuple[float, ...] | None = None


IDENTICAL: Final = (
    Identical("usual", USUAL),
    Identical("heavy-tailed, 2 % failures that hang together", HEAVY),
    Identical("25 of 5,000 subjects always fail", World(always_failing=25)),
    Identical("4 of 100 subjects always fail", World(subjects=100, always_failing=4)),
    Identical("40 subjects", World(subjects=40)),
    Identical("heavy-tailed, control 4 x the candidate", HEAVY, Fault(), (0.05, 0.1, 0.2),
              (0.2, 0.4, 0.8)),
    Identical("heavy-tailed, candidate up to 9 x the control", HEAVY, Fault(), (0.6, 0.8, 0.9),
              (0.4, 0.2, 0.1)),
    Identical("heavy-tailed, as slow as allowed (1.25 x)", HEAVY, Fault(slower=1.25)),
)  # fmt: skip


class Score(Struct, frozen=True):
    """Of so many runs, so many were rolled back, after these seconds."""

    runs: int
    rolled_back_s: tuple[float, ...]

    def share(self, within_s: float = math.inf) -> float:
        """Share of the runs rolled back within so many seconds."""
        return sum(each <= within_s for each in self.rolled_back_s) / self.runs

    def after(self, share: float) -> float | None:
        """Seconds after which this share of the runs was rolled back; None if it never was."""
        ordered = sorted(self.rolled_back_s)
        needed = math.ceil(share * self.runs)
        return ordered[needed - 1] if needed <= len(ordered) else None


class Curves(Struct, frozen=True):
    """All that was measured.

    Attributes:
        identical: By name of the world.
        errors: By additional share of failures.
        slower: By factor of latency.
        peeking: Of identical candidates over one long step, by who judges.
    """

    identical: dict[str, Score]
    errors: dict[float, Score]
    slower: dict[float, Score]
    peeking: dict[str, Score]


def measure(runs: int, pool: Executor) -> Curves:
    """Run everything.

    Args:
        runs: Of each kind.
        pool: Where to run.
    """
    watched = {"weights": (0.1,), "steps": len(PLAN), "seconds": WITHIN_S[-1]}
    long = {"weights": (0.1,), "seconds": LONG_STEP_S}
    judges: dict[str, Judge] = {"judge": judge, "p < 0.01 at each look": single_look}
    return Curves(
        identical={
            each.name: _score(pool, runs, each.world, each.fault,
                              {"weights": each.weights, "controls": each.controls})
            for each in IDENTICAL
        },
        errors={e: _score(pool, runs, USUAL, Fault(errors=e), watched) for e in ERRORS},
        slower={f: _score(pool, runs, USUAL, Fault(slower=f), watched) for f in SLOWER},
        peeking={
            name: _score(pool, max(runs // 3, 1), HEAVY, Fault(), {**long, "by": by})
            for name, by in judges.items()
        },
    )  # fmt: skip


def at_most(found: int, runs: int) -> float:
    """Upper 95 % confidence bound of a probability, one-sided (Clopper & Pearson 1934)."""
    if found >= runs:
        return 1.0
    low, high = found / runs, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _up_to(found, runs, middle) > 0.05 else (low, middle)
    return high


def _up_to(found: int, runs: int, probability: float) -> float:
    return sum(
        math.comb(runs, k) * probability**k * (1 - probability) ** (runs - k)
        for k in range(found + 1)
    )


def _score(pool: Executor, runs: int, world: World, fault: Fault, how: dict[str, object]) -> Score:
    one = partial(_one, world, fault, how)
    return Score(runs, tuple(_rolled_back(pool.map(one, range(runs), chunksize=5))))


def _one(world: World, fault: Fault, how: dict[str, object], seed: int) -> Outcome:
    return run(world, fault, seed, **how)  # type: ignore[arg-type]


def _rolled_back(outcomes: Iterator[Outcome]) -> Iterator[float]:
    return (each.rolled_back_s for each in outcomes if each.rolled_back_s is not None)
