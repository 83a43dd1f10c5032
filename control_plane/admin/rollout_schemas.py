"""Shapes of the operators' API: rollouts that run and rollouts that have ended."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from control_plane.admin.schemas import Moment, NextCursor, Revision
from control_plane.admission.accounts.shapes import Epoch
from control_plane.routing.decisions.proposal import Proposal
from control_plane.routing.guards import Guards
from control_plane.routing.shadow.differences import Difference
from control_plane.routing.shadow.report import ShadowReport
from control_plane.routing.state import (
    BUCKETS,
    Candidate,
    EndedRollout,
    Outcome,
    Percent,
    Rollout,
    Step,
    StickyBy,
    VersionName,
)
from control_plane.versions.insight import Insight

Shadows = dict[str, ShadowReport] | UnsetType | None


class RolloutBody(Proposal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rollout to be started."""

    allow_breaking: Annotated[
        bool, Meta(description="True: although a contract breaks that of the stable version")
    ] = False


class WeightsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of a rollout without a plan."""

    weights: Annotated[
        dict[VersionName, Percent],
        Meta(max_length=16, description="Percent of the subjects, by candidate"),
    ]
    allow_breaking: Annotated[
        bool, Meta(description="True: although a contract breaks that of the stable version")
    ] = False


class AbortBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a rollout is aborted."""

    reason: Annotated[str, Meta(max_length=500, description="For the report")] = ""


class PromoteCandidateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which candidate is promoted."""

    version: Annotated[VersionName | None, Meta(description="Null for the only one")] = None
    reason: Annotated[str, Meta(max_length=500, description="For the report")] = ""


class GuardsView(Guards, frozen=True, kw_only=True, omit_defaults=False):
    """How much worse than the control a candidate may be, with every limit that is in force."""


class RolloutView(Struct, frozen=True, kw_only=True):
    """Which subjects get which version."""

    id: str
    model: str
    stable: VersionName
    candidates: Annotated[list[Candidate], Meta(description="With what they get at this step")]
    control: Annotated[
        Percent, Meta(description="Of the subjects, for the lane that candidates are compared with")
    ]
    sticky_by: StickyBy
    plan: list[Step]
    guards: Annotated[GuardsView | None, Meta(description="Null: it is not judged")]
    public: bool
    keep_inputs: list[str]
    paused: bool
    paused_at: Moment | None
    step: Annotated[int, Meta(description="Index in the plan")]
    step_since: Annotated[Epoch, Meta(description="When it began, shifted by pauses")]
    attempt: Annotated[int, Meta(description="Grows when counting begins anew at a step")]
    started_at: Epoch
    started_by: str
    revision: Annotated[Revision, Meta(description="Of the model's record")]


class RolloutStatus(Struct, frozen=True, kw_only=True):
    """A rollout that runs, with what was counted of it."""

    rollout: RolloutView
    counted: Annotated[
        Insight | None, Meta(description="Null while the limits server does not answer")
    ]


class RolloutReport(Struct, frozen=True, kw_only=True):
    """A rollout that has ended, or that runs: then its outcome is null."""

    id: Annotated[str, Meta(description="`<rollout>.<version>` of a candidate taken out of one")]
    model: str
    outcome: Outcome | None
    by: Annotated[str | None, Meta(description="Who ended it; `system` is the judge")]
    reason: str
    report: Annotated[dict[str, Any], Meta(description="The numbers that it ended on")]
    undone: bool
    earlier: Annotated[
        list[dict[str, Any]],
        Meta(description="How it ended before that was undone, the latest last; at most 10"),
    ]
    promoted: VersionName | None
    ended_at: Moment | None
    rollout: RolloutView
    shadows: Annotated[
        Shadows,
        Meta(
            description="By candidate, of those that saw anything; null while the limits server "
            "does not answer. Single reports have it"
        ),
    ] = UNSET
    revision: Revision


class DifferenceList(Struct, frozen=True):
    """Disagreements, the worst first."""

    items: list[Difference]


class EndedPage(Struct, frozen=True):
    """Rollouts that have ended, in the order in which they were started."""

    items: list[RolloutReport]
    next_cursor: NextCursor


def rollout_view(rollout: Rollout, model: str, revision: int) -> RolloutView:
    """What is shown of a rollout."""
    return RolloutView(
        id=rollout.id,
        model=model,
        stable=rollout.stable,
        candidates=list(rollout.candidates),
        control=sum(end - first for first, end in rollout.control) * 100 / BUCKETS,
        sticky_by=rollout.sticky_by,
        plan=list(rollout.plan),
        guards=_guards_view(rollout.guards),
        public=rollout.public,
        keep_inputs=list(rollout.keep_inputs),
        paused=rollout.paused,
        paused_at=rollout.paused_at or None,
        step=rollout.step,
        step_since=rollout.step_since,
        attempt=rollout.attempt,
        started_at=rollout.started_at,
        started_by=rollout.started_by,
        revision=revision,
    )


def _guards_view(guards: Guards | None) -> GuardsView | None:
    return None if guards is None else GuardsView(**structs.asdict(guards))


def ended_view(ended: EndedRollout) -> RolloutReport:
    """What is shown of a rollout that has ended."""
    return RolloutReport(
        id=ended.id,
        model=ended.model,
        outcome=ended.outcome,
        by=ended.by,
        reason=ended.reason,
        report=ended.report,
        undone=ended.undone,
        earlier=list(ended.earlier),
        promoted=ended.promoted or None,
        ended_at=ended.created_at if ended.undone else ended.updated_at,
        rollout=rollout_view(ended.rollout, ended.model, ended.revision),
        revision=ended.revision,
    )


def running_view(rollout: Rollout, model: str, revision: int) -> RolloutReport:
    """What is shown of a rollout that runs, as a report."""
    return RolloutReport(
        id=rollout.id,
        model=model,
        outcome=None,
        by=None,
        reason="",
        report={},
        undone=False,
        earlier=[],
        promoted=None,
        ended_at=None,
        rollout=rollout_view(rollout, model, revision),
        revision=revision,
    )
