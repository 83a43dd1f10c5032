"""What the system of record keeps of a model: the lives of its versions, aliases, its rollout."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from control_plane.patterns import exactly
from control_plane.records.record import Record
from control_plane.routing.guards import Guards
from control_plane.types import Life

BUCKETS: Final = 1000
"""Parts into which subjects are hashed: a weight is a whole number of them, 0.1 % each."""

MAX_CANDIDATES: Final = 4
MAX_STEPS: Final = 32
MAX_KEPT_INPUTS: Final = 32
MAX_ALIASES: Final = 100

_NUMBER: Final = "(0|[1-9][0-9]{0,5})"
VersionName = Annotated[
    str,
    Meta(pattern=exactly(rf"v{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}"), description="Exact version"),
]
AliasName = Annotated[
    str,
    Meta(
        pattern=exactly("[a-uw-z][a-z0-9-]{0,62}|v[a-z-][a-z0-9-]{0,61}"),
        description="Lower case; not what a version or a prefix looks like",
    ),
]
Percent = Annotated[
    float, Meta(ge=0, le=100, description="Share of the traffic, a multiple of 0.1 %")
]
StickyBy = Annotated[
    str,
    Meta(
        pattern=exactly(
            "tenant|key|header:[A-Za-z0-9][A-Za-z0-9-]{0,62}|field:[A-Za-z_][A-Za-z0-9_-]{0,127}"
        ),
        description="What a subject is: `tenant`, `key`, `header:<name>` or `field:<input>`; who "
        "has no such header or field goes by key, and without a key by address",
    ),
]
Outcome = Literal["promoted", "rolled_back", "aborted"]


class VersionState(Struct, frozen=True, kw_only=True):
    """Where a version stands.

    Attributes:
        life: How far it may be trusted.
        since: Epoch second at which this life began.
        loaded: True if Triton is to have it.
        deprecated_at: Epoch second of its deprecation; 0 if it is not deprecated.
        sunset_at: Epoch second after which it is retired; 0 for none.
        info: URL where clients read what to do instead; empty for none.
        rolled_back: Id of the :class:`EndedRollout` that took it back: until that is undone, or
            the version promoted, it is nobody's default; empty otherwise.
        note: Why it stands there, for operators.
    """

    life: Life
    since: int
    loaded: bool = True
    deprecated_at: int = 0
    sunset_at: int = 0
    info: str = ""
    rolled_back: str = ""
    note: str = ""


class Candidate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version that is tried.

    Attributes:
        version: Exact.
        weight: Percent of the subjects that it answers.
        shadow: Percent of the requests that it sees beside the version that answers.
    """

    version: VersionName
    weight: Percent = 0.0
    shadow: Percent = 0.0


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step of a plan: what the candidate gets, and for how long at least."""

    weight: Percent = 0.0
    shadow: Percent = 0.0
    min_duration_s: Annotated[
        int, Meta(ge=0, le=2_592_000, description="Least length of the step, seconds")
    ] = 600
    min_requests: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="Least requests that the candidate answered")
    ] = 100


Range = tuple[int, int]
"""Buckets from the first to the one before the second."""


class Rollout(Struct, frozen=True, kw_only=True):
    """Which subjects get which version, in force until changed.

    Attributes:
        id: ``ro_…``, sortable by time; with a subject it decides the bucket.
        stable: The version that everybody else gets.
        candidates: What is tried; with a plan exactly one.
        sticky_by: What a subject is.
        plan: Steps; empty for weights that operators set.
        guards: By what the candidates are judged; None if they are not.
        public: True if clients may see it in the catalogue.
        keep_inputs: Inputs that a stored difference may show; the others are left out.
        paused: True if it stays at its step whatever the judge says.
        step: Index of the step; 0 without a plan.
        step_since: Epoch second at which the step began; shifted by what it was paused.
        paused_at: Epoch second of the pause; 0 if it is not paused.
        attempt: Grows when a roll-back is undone, and when operators set weights.
        buckets: Buckets of each candidate, by version.
        control: Buckets of the stable version that the candidates are compared with.
        control_stage: Stage whose control is compared with where this one has none.
        started_at: Epoch second.
        started_by: Who started it.
    """

    id: str
    stable: VersionName
    candidates: tuple[Candidate, ...]
    sticky_by: StickyBy = "tenant"
    plan: tuple[Step, ...] = ()
    guards: Guards | None = None
    public: bool = False
    keep_inputs: tuple[str, ...] = ()
    paused: bool = False
    step: int = 0
    step_since: int = 0
    paused_at: int = 0
    attempt: int = 1
    buckets: dict[str, tuple[Range, ...]] = {}
    control: tuple[Range, ...] = ()
    control_stage: str = ""
    started_at: int = 0
    started_by: str = ""

    @property
    def stage(self) -> str:
        """What evidence is counted under."""
        return f"{self.attempt}.{self.step}"


class ModelState(Record, frozen=True, kw_only=True):
    """A model's record.

    Attributes:
        name: Public name.
        stable: The version that answers who names none; None if none is trusted.
        versions: Where each version stands, by its name; also those that are gone.
        aliases: Operators' own names for versions.
        rollout: The one that is in force.
    """

    name: str
    stable: VersionName | None = None
    versions: dict[str, VersionState] = msgspec.field(default_factory=dict)
    aliases: dict[str, VersionName] = msgspec.field(default_factory=dict)
    rollout: Rollout | None = None


class EndedRollout(Record, frozen=True, kw_only=True):
    """A rollout that is over, or over for one of its candidates while the others go on.

    ``created_at`` is the epoch second of its first end.

    Attributes:
        id: Of the rollout; ``<rollout>.<version>`` of a candidate that was taken out of it.
        model: Public name.
        rollout: As it was at its end.
        outcome: How it ended.
        by: Who ended it: ``k:<key id>`` of an operator, or ``system`` for the judge.
        reason: A sentence.
        report: The numbers that it ended on.
        undone: True if it was taken up again, or its promotion taken back.
        earlier: How it ended before that: reason and report, at most ten, the latest last.
        promoted: The version that was promoted, if one was.
        promoted_from: Where that version stood before.
    """

    id: str
    model: str
    rollout: Rollout
    outcome: Outcome
    by: str
    reason: str = ""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    undone: bool = False
    earlier: tuple[dict[str, Any], ...] = ()
    promoted: str = ""
    promoted_from: VersionState | None = None
