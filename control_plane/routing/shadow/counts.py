"""What a process counts of its shadows between two writes, for the report and for the judge."""

from __future__ import annotations

from collections import Counter
from typing import Final

from control_plane.routing import layout
from control_plane.routing.judge.fields import Side, bucket_of
from control_plane.routing.judge.tally import Tally
from control_plane.routing.shadow import fields
from control_plane.routing.shadow.comparing import Comparison
from control_plane.routing.shadow.jobs import FAULTS, Drop, ShadowAnswer, ShadowJob
from control_plane.routing.trials import CountStore
from control_plane.types import ModelRef

MAX_SHADOWS: Final = 64
"""Shadows whose labels are remembered from write to write."""

_Shadow = tuple[str, str]
"""Rollout and version."""
_Arm = tuple[str, str, str]
"""Rollout, stage and version."""


class ShadowCounts:
    """A few additions a request.

    The judge hears of versions that answer nobody: of each request what the shadow made of it, and
    beside it, as the control, the answer that was given. Between two writes no more is held than
    what the shadows did in that time. Not for several threads.

    Attributes:
        dropped: Requests that shadows did not see since the start, by reason, for metrics.
    """

    def __init__(self, store: CountStore) -> None:
        """Write to a store.

        Args:
            store: Adds to hashes of the limits server.
        """
        self.dropped = Counter[str]()
        self._store = store
        self._counts: dict[_Shadow, Counter[str]] = {}
        self._tallies: dict[_Arm, Tally] = {}
        self._labels: dict[_Shadow, set[str]] = {}
        self._pending = 0

    @property
    def pending(self) -> int:
        """Requests counted and not written."""
        return self._pending

    def drop(self, job: ShadowJob, reason: Drop) -> None:
        """Count a request that the shadow did not see."""
        self.turn_away(job.rollout, job.ref, reason)

    def turn_away(self, rollout: str, ref: ModelRef, reason: Drop) -> None:
        """Count a request that was not made a job of, as there is no room."""
        self.dropped[reason] += 1
        self._of(rollout, ref)[f"{fields.DROPPED}|{reason}"] += 1

    def failed(self, job: ShadowJob, code: str) -> None:
        """Count a request that the shadow failed on; the judge hears of it if it is to blame."""
        self._of(job.rollout, job.ref)[f"{fields.ERROR}|{code}"] += 1
        if job.is_judged and code in FAULTS:
            tally = self._tally(job)
            # Subjects that fail are told apart only where each has a side of its own.
            tally.failed(Side.CANDIDATE, job.group, "")
            tally.answered(Side.CONTROL, job.group, job.latency_s, job.answered.label)

    def compared(self, job: ShadowJob, answer: ShadowAnswer, found: Comparison) -> None:
        """Count a request that both versions answered."""
        counts = self._of(job.rollout, job.ref)
        counts[fields.COMPARED] += 1
        counts[fields.AGREED] += found.agreed
        counts[f"{fields.DISTANCE}|{fields.bin_of(found.distance)}"] += 1
        counts[f"{fields.LATENCY}|{fields.STABLE}|{bucket_of(job.latency_s)}"] += 1
        counts[f"{fields.LATENCY}|{fields.SHADOW}|{bucket_of(answer.latency_s)}"] += 1
        labels = job.answered.label, answer.predicted.label
        if labels[0] is not None and labels[1] is not None:
            known = self._known(job)
            counts[fields.pair(_told(labels[0], known), _told(labels[1], known))] += 1
        if job.is_judged:
            tally = self._tally(job)
            tally.answered(Side.CANDIDATE, job.group, answer.latency_s, answer.predicted.label)
            tally.answered(Side.CONTROL, job.group, job.latency_s, job.answered.label)
            tally.compared(job.group, agreed=found.agreed)

    async def write(self) -> None:
        """Add what was counted to the hashes; see :class:`Source`."""
        counts, self._counts = self._counts, {}
        tallies, self._tallies = self._tallies, {}
        self._pending = 0
        for shadow, counted in counts.items():
            await self._store.add(layout.shadow(*shadow), +counted)
        for arm, tally in tallies.items():
            await self._store.add(layout.counts(*arm), tally.drain().counts)

    def _of(self, rollout: str, ref: ModelRef) -> Counter[str]:
        self._pending += 1
        return self._counts.setdefault((rollout, str(ref.version)), Counter())

    def _tally(self, job: ShadowJob) -> Tally:
        arm = (job.rollout, job.stage, str(job.ref.version))
        tally = self._tallies.get(arm)
        if tally is None:
            tally = self._tallies[arm] = Tally()
        return tally

    def _known(self, job: ShadowJob) -> set[str]:
        shadow = (job.rollout, str(job.ref.version))
        known = self._labels.get(shadow)
        if known is None:
            if len(self._labels) >= MAX_SHADOWS:
                del self._labels[next(iter(self._labels))]
            known = self._labels[shadow] = set()
        return known


def _told(label: str, known: set[str]) -> str:
    """The label if it is one of the first that were seen, for a hash has room for so many."""
    if label not in known:
        if len(known) >= fields.LABELS or len(label) > fields.LABEL_LENGTH:
            return fields.OTHER
        known.add(label)
    return label
