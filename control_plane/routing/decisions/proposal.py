"""A rollout as an operator asks for it, and every fault that it may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.errors import Fault
from control_plane.routing.guards import Guards
from control_plane.routing.split import bucket_count
from control_plane.routing.state import (
    BUCKETS,
    MAX_CANDIDATES,
    MAX_KEPT_INPUTS,
    MAX_STEPS,
    Candidate,
    ModelState,
    Step,
    StickyBy,
)
from control_plane.types import Life

Candidates = Annotated[
    tuple[Candidate, ...],
    Meta(min_length=1, max_length=MAX_CANDIDATES, description="What is tried; with a plan one"),
]
Plan = Annotated[
    tuple[Step, ...],
    Meta(max_length=MAX_STEPS, description="Steps; the end of the last promotes the candidate"),
]
KeptInputs = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
    Meta(max_length=MAX_KEPT_INPUTS, description="Inputs that a stored difference may show"),
]


class Proposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator asks for.

    Attributes:
        candidates: What is tried. With a plan exactly one, whose weight and shadow are those of
            the plan's first step.
        sticky_by: What a subject is.
        plan: Steps; none for weights that operators set.
        guards: By what candidates are judged; left out, the standard ones; null, none.
        public: True if clients may see the rollout in the catalogue.
        keep_inputs: Inputs that a stored difference may show.
        again: True to try versions that were rolled back before.
    """

    candidates: Candidates
    sticky_by: StickyBy = "tenant"
    plan: Plan = ()
    guards: Guards | UnsetType | None = UNSET
    public: bool = False
    keep_inputs: KeptInputs = ()
    again: bool = False


def faults_of(proposal: Proposal, state: ModelState) -> list[Fault]:
    """Everything that is wrong with a proposal for a model."""
    faults = list(_candidate_faults(proposal, state))
    faults += _plan_faults(proposal) if proposal.plan else _weight_faults(proposal)
    return faults


def _candidate_faults(proposal: Proposal, state: ModelState) -> Iterator[Fault]:
    candidates = proposal.candidates
    if not 1 <= len(candidates) <= MAX_CANDIDATES:
        yield _fault("candidates", f"have to be 1 to {MAX_CANDIDATES}")
    if proposal.plan and len(candidates) != 1:
        yield _fault("candidates", "has to be exactly one where there is a plan")
    usable = [
        version
        for version, stands in state.versions.items()
        if stands.life is not Life.RETIRED and version != state.stable
    ]
    names = [candidate.version for candidate in candidates]
    for place, version in enumerate(names):
        field = f"candidates[{place}].version"
        if version not in usable:
            yield _fault(field, _why_not(state, version), version, usable)
        elif version in names[:place]:
            yield _fault(field, "is named before", version)


def _why_not(state: ModelState, version: str) -> str:
    if version == state.stable:
        return "is the stable version, which the candidates are compared with"
    if version in state.versions:
        return "is retired: revive it first"
    return f"is no version of {state.name}"


def _plan_faults(proposal: Proposal) -> Iterator[Fault]:
    for place, candidate in enumerate(proposal.candidates):
        if candidate.weight or candidate.shadow:
            issue = "gets its weight and shadow from the plan's first step: leave them out"
            yield _fault(f"candidates[{place}]", issue)
    plan = proposal.plan
    if len(plan) > MAX_STEPS:
        yield _fault("plan", f"has {len(plan)} steps; {MAX_STEPS} are the most")
    for place, step in enumerate(plan):
        field = f"plan[{place}]"
        yield from _share_faults(field, step)
        if not step.weight and not step.shadow:
            yield _fault(field, "gives the candidate neither a weight nor a shadow")
        if place and step.weight < plan[place - 1].weight:
            issue = "is less than in the step before: a plan never takes subjects back"
            yield _fault(f"{field}.weight", issue, step.weight)
        if place and plan[place - 1].weight == 100:
            yield _fault(field, "comes after a step of weight 100, which ends the plan")
    first = next((place for place, step in enumerate(plan) if step.weight), None)
    if first is not None and plan[first].weight == 100 and proposal.guards is not None:
        issue = "leaves nobody to compare with: begin with less, or without guards"
        yield _fault(f"plan[{first}].weight", issue, plan[first].weight)
    if not plan[-1].weight:
        issue = "is 0 in the last step: what was only seen in shadow is not promoted"
        yield _fault(f"plan[{len(plan) - 1}].weight", issue)


def _weight_faults(proposal: Proposal) -> Iterator[Fault]:
    faults = [
        fault
        for place, candidate in enumerate(proposal.candidates)
        for fault in _share_faults(f"candidates[{place}]", candidate)
    ]
    yield from faults
    if not any(candidate.weight or candidate.shadow for candidate in proposal.candidates):
        yield _fault("candidates", "have neither a weight nor a shadow: give one at least")
    if not faults:
        total = sum(bucket_count(candidate.weight) for candidate in proposal.candidates)
        if total > BUCKETS:
            issue = "have weights of more than 100 percent together"
            yield _fault("candidates", issue, total * 100 / BUCKETS)


def _share_faults(field: str, shares: Candidate | Step) -> Iterator[Fault]:
    for name, percent in (("weight", shares.weight), ("shadow", shares.shadow)):
        try:
            bucket_count(percent)
        except ValueError as error:
            yield _fault(f"{field}.{name}", str(error), percent)


def _fault(
    field: str, issue: str, received: str | float | None = None, allowed: list[str] | None = None
) -> Fault:
    path = "/" + field.replace("[", "/").replace("]", "").replace(".", "/")
    return Fault(field, issue, path, received=received, allowed=allowed)
