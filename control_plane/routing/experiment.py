"""A rollout as the request path needs it: which side a subject is on, by one look-up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from msgspec import Struct

from control_plane.routing.split import bucket_of, digest, group_of
from control_plane.routing.state import BUCKETS, Rollout
from control_plane.types import ModelRef, Version

CONTROL: Final[Literal["control"]] = "control"
"""The arm, and the lane, of the stable version that candidates are compared with."""
MAIN_LANE: Final[Literal["main"]] = "main"


class Side(Struct, frozen=True):
    """A side of a rollout, and what answers there.

    Attributes:
        rollout: Its id.
        stage: What evidence is counted under.
        arm: The candidate's version, ``control``, or empty for those that are not compared.
        ref: The version that answers.
        lane: The queue to it.
    """

    rollout: str
    stage: str
    arm: str
    ref: ModelRef
    lane: Literal["main", "control"]


class Seat(Struct, frozen=True):
    """A subject's place in a rollout.

    Attributes:
        side: Where it sits.
        group: Of the subject, 0 to 63, by which evidence is counted.
        subject: A pseudonym of the subject.
    """

    side: Side
    group: int
    subject: str


class Shadowed(Struct, frozen=True):
    """A version that sees requests beside the one that answers.

    Attributes:
        ref: The version.
        share: Of the requests, 0 to 1.
        is_judged: True if it is judged by what it says in shadow, as it answers nobody.
    """

    ref: ModelRef
    share: float
    is_judged: bool


class Experiment:
    """The running rollout of a model.

    Attributes:
        rollout: As the system of record has it.
        rest: The side of those that take no part in the comparison.
        shadows: What sees requests beside the stable version.
    """

    def __init__(self, model: str, rollout: Rollout, present: Collection[Version]) -> None:
        """Lay out the buckets.

        Args:
            model: Public name.
            rollout: In force.
            present: The versions that this process has contracts of; what belongs to another
                candidate stays with the stable version.
        """
        self.rollout = rollout
        stable = ModelRef(model, Version.parse(rollout.stable))
        self.rest = Side(rollout.id, rollout.stage, "", stable, MAIN_LANE)
        control = Side(rollout.id, rollout.stage, CONTROL, stable, CONTROL)
        self._sides = [self.rest] * BUCKETS
        self._lay(control, rollout.control)
        shadows = []
        for candidate in rollout.candidates:
            ref = ModelRef(model, Version.parse(candidate.version))
            if ref.version not in present:
                continue
            side = Side(rollout.id, rollout.stage, candidate.version, ref, MAIN_LANE)
            self._lay(side, rollout.buckets.get(candidate.version, ()))
            if candidate.shadow:
                shadows.append(Shadowed(ref, candidate.shadow / 100, candidate.weight == 0))
        self.shadows = tuple(shadows)

    def seat(self, subject: str) -> Seat:
        """The place of a subject: always the same while no bucket moves."""
        number = digest(self.rollout.id, subject)
        return Seat(self._sides[bucket_of(number)], group_of(number), f"{number:016x}")

    def _lay(self, side: Side, ranges: tuple[tuple[int, int], ...]) -> None:
        for first, end in ranges:
            self._sides[first:end] = [side] * (end - first)
