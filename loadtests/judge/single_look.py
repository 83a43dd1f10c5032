"""What not to do: a test made for one look, at every look. It shows what peeking costs."""

from __future__ import annotations

import math
from typing import Final

from control_plane.routing.guards import Guards
from control_plane.routing.judge.evidence import Evidence
from control_plane.routing.judge.verdict import Decision, Step, Verdict

CRITICAL: Final = 2.326
"""The normal deviate of p = 0.01, one-sided."""


def single_look(evidence: Evidence, _guards: Guards, _step: Step) -> Verdict:
    """Roll back if the share of failed requests is significantly higher now, at p < 0.01."""
    sides = (evidence.candidate, evidence.control)
    (failed, asked), (usually, ever) = ((sum(arm.failed), sum(arm.requests)) for arm in sides)
    together = (failed + usually) / max(asked + ever, 1)
    if min(asked, ever) and 0 < together < 1:
        deviation = math.sqrt(together * (1 - together) * (1 / asked + 1 / ever))
        if failed / asked - usually / ever > CRITICAL * deviation:
            return Verdict(Decision.ROLL_BACK, (), ())
    return Verdict(Decision.HOLD, (), ())
