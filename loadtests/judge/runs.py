"""Takes a population through a plan, judged every two seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec import Struct

from control_plane.routing.guards import Guards
from control_plane.routing.judge.evidence import Evidence
from control_plane.routing.judge.verdict import Decision, Step, Verdict, judge
from loadtests.judge.population import LOOK_S, Fault, Population, World

PLAN: Final = (0.01, 0.1, 0.5)

Judge = Callable[[Evidence, Guards, Step], Verdict]


class Outcome(Struct, frozen=True):
    """How a run ended.

    Attributes:
        rolled_back_s: Seconds from its start to the roll-back; None without one.
        tests: The tests that raised the alarm.
        looks: How often it was judged.
    """

    rolled_back_s: float | None
    tests: tuple[str, ...]
    looks: int


def run(
    world: World,
    fault: Fault,
    seed: int,
    *,
    weights: tuple[float, ...] = PLAN,
    controls: tuple[float, ...] | None = None,
    seconds: float = 60.0,
    guards: Guards | None = None,
    steps: int | None = None,
    by: Judge = judge,
) -> Outcome:
    """One rollout; a step that is not rolled back always goes on to the next.

    Args:
        world: Who asks.
        fault: What is wrong with the candidate.
        seed: Of everything that is drawn.
        weights: The candidate's share of each step.
        controls: The control's; as much as the candidate's without it, where there is room.
        seconds: Length of each step.
        guards: What the candidate is allowed; the defaults without it.
        steps: Steps of the whole plan, if ``weights`` are a part of it.
        by: What judges.
    """
    population = Population(world, np.random.default_rng(seed))
    allowed = guards or Guards()
    looks = 0
    for number, weight in enumerate(weights):
        control = controls[number] if controls else min(weight, 1 - weight)
        step = Step(steps=steps or len(weights), weight=weight, control_weight=control,
                    elapsed_s=0.0, least_s=seconds, least_requests=0)  # fmt: skip
        for evidence in population.looks(weight, control, seconds, fault):
            looks += 1
            verdict = by(evidence, allowed, step)
            if verdict.decision is Decision.ROLL_BACK:
                return Outcome(looks * LOOK_S, _alarms(verdict), looks)
    return Outcome(None, (), looks)


def _alarms(verdict: Verdict) -> tuple[str, ...]:
    return tuple(each.test for each in verdict.findings if each.state == "alarm")
