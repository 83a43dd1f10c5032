"""States of a model to decide on, and what decisions refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from control_plane.errors import InvalidInput, TidegateError
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.decisions.gate import Gate
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.decisions.rollouts import start
from control_plane.routing.state import Candidate, ModelState, Rollout, Step, VersionState
from control_plane.types import Life

NOW = 1_000_000
READY = Gate(ready=True)
STARTED = "ro_0123456789abcdef"
OPERATOR = "k:aaaaaaaaaaaa"
PLAN = tuple(Step(weight=weight) for weight in (1, 10, 50, 100))


def house(**others: VersionState) -> ModelState:
    """A model with stable v1.0.0 and v1.1.0, the stable version, and three experimental ones."""
    versions = {
        "v1.0.0": VersionState(life=Life.STABLE, since=1),
        "v1.1.0": VersionState(life=Life.STABLE, since=2),
        "v2.0.0": VersionState(life=Life.EXPERIMENTAL, since=3),
        "v3.0.0": VersionState(life=Life.EXPERIMENTAL, since=3),
        "v4.0.0": VersionState(life=Life.EXPERIMENTAL, since=3),
    }
    return ModelState(name="house", stable="v1.1.0", versions={**versions, **others})


def ready(state: ModelState) -> dict[str, Gate]:
    """Every version passes."""
    return dict.fromkeys(state.versions, READY)


def begun(
    state: ModelState, proposal: Proposal, gates: Mapping[str, Gate] | None = None
) -> Decided:
    """A rollout started now."""
    return start(
        state,
        proposal,
        rollout=STARTED,
        now=NOW,
        by=OPERATOR,
        gates=ready(state) if gates is None else gates,
    )


def on_plan(state: ModelState | None = None, **others: Any) -> ModelState:
    """A model with v2.0.0 on the plan 1, 10, 50, 100 %."""
    asked = Proposal(candidates=(Candidate(version="v2.0.0"),), plan=PLAN, **others)
    return begun(state or house(), asked).state


def weighted(**weights: float) -> ModelState:
    """A model with a rollout of weights: ``v2=10`` for v2.0.0."""
    candidates = tuple(
        Candidate(version=f"{name}.0.0", weight=weight) for name, weight in weights.items()
    )
    return begun(house(), Proposal(candidates=candidates)).state


def rollout_of(state: ModelState) -> Rollout:
    assert state.rollout is not None
    return state.rollout


def refusal(code: str, decide: Callable[[], Any]) -> TidegateError:
    """The error, which has that code and a sentence."""
    with pytest.raises(TidegateError) as caught:
        decide()
    assert caught.value.code == code, caught.value
    assert " " in caught.value.message
    return caught.value


def fields(decide: Callable[[], Any]) -> set[str]:
    """The fields that are at fault."""
    with pytest.raises(InvalidInput) as caught:
        decide()
    assert all(fault.issue and fault.path.startswith("/") for fault in caught.value.faults)
    return {fault.field for fault in caught.value.faults}
