"""Attaches the truth to an earlier prediction of the same tenant, and counts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis
from msgspec import Struct

from control_plane.errors import Fault, InvalidInput, TidegateError
from control_plane.records.server import reached, read
from control_plane.records.transaction import not_found
from control_plane.routing import layout
from control_plane.routing.feedback.accuracy import LABELLED, SCORE
from control_plane.routing.feedback.kept import Kept, Placed, decode_kept
from control_plane.routing.judge.fields import SCORE_UNITS
from control_plane.routing.judge.tally import Tally
from control_plane.routing.trials import CountStore

LABELS_A_STAGE: Final = 200
"""Labels of one tenant that count in one stage of a rollout: the judge hears all, none too loud."""

_DAY_S: Final = 86_400
_SHORT_LIST: Final = 50
_SCRIPT: Final = Path(__file__).with_name("label.lua").read_text()

Labels = Callable[[str, str], Sequence[str] | None]
"""The labels that a version of a model may predict; None if it has none, or is not there."""


class Truth(Struct, frozen=True):
    """What a client says of a prediction; exactly one of both.

    Attributes:
        label: What would have been right.
        score: How right it was, 0 to 1.
    """

    label: str | None = None
    score: float | None = None


class Taken(Struct, frozen=True):
    """Feedback that was taken.

    Attributes:
        score: 0 to 1; of a label 1 if it is the one that was predicted, else 0.
        replaced: True if it takes the place of earlier feedback on the prediction.
    """

    score: float
    replaced: bool


class Feedback:
    """The feedback of all tenants.

    A label is recorded first, in one atomic step that says which label it replaces, and only then
    added to the sums of its version and of its stage, which lie in other places of a cluster. If
    that is broken off the sums lack one label; none is ever in them twice. A label whose reply was
    lost may be given again.

    Attributes:
        lost: Labels that were recorded and could not be added to a sum, since the start.
    """

    def __init__(
        self,
        server: redis.Redis,
        labels: Labels,
        labels_per_day: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep feedback on the limits server.

        Args:
            server: A client of it; its replies are bytes.
            labels: What a version may predict.
            labels_per_day: Predictions on which one tenant may give feedback in a day (UTC).
            clock: Epoch seconds.
        """
        self.lost = 0
        self._server = server
        self._script = server.register_script(_SCRIPT)
        self._counts = CountStore(server)
        self._labels = labels
        self._labels_per_day = labels_per_day
        self._clock = clock

    async def find(self, tenant: str, request_id: str) -> Kept:
        """A prediction of a tenant that is still kept.

        Raises:
            TidegateError: NOT_FOUND if it is not, or is another tenant's.
            AdmissionUnavailable: If the server does not answer within two seconds.
        """
        key = layout.predicted(tenant, request_id)
        text: Any = await read(self._server, lambda: self._server.hget(key, "prediction"))
        if text is None:
            raise not_found()
        return decode_kept(text)

    async def give(self, tenant: str, request_id: str, kept: Kept, truth: Truth) -> Taken:
        """Attach the truth to a prediction that was found.

        Args:
            tenant: Whose prediction it is.
            request_id: Of the request.
            kept: As :meth:`find` found it.
            truth: Takes the place of what was given before.

        Raises:
            InvalidInput: If the label is none of the version's.
            TidegateError: NOT_FOUND if it is kept no more; RATE_LIMITED, with Retry-After, if the
                tenant gave feedback on too many predictions today.
            AdmissionUnavailable: If the server does not answer within two seconds.
        """
        score = score_of(kept, truth, self._labels(kept.model, kept.version))
        units = round(score * SCORE_UNITS)
        before, is_judged = await self._record(tenant, request_id, kept, units)
        former = None if before < 0 else before
        await self._add(layout.feedback(kept.model, kept.version), _change(_sums, former, units))
        placed = kept.placed
        if placed is not None and is_judged:
            arm = layout.counts(placed.rollout, placed.stage, placed.arm)
            await self._add(arm, _change(lambda one: _evidence(placed, one), former, units))
        return Taken(score, former is not None)

    async def _record(
        self, tenant: str, request_id: str, kept: Kept, units: int
    ) -> tuple[int, bool]:
        now = self._clock()
        day = f"{datetime.fromtimestamp(now, UTC):%Y%m%d}"
        keys = [layout.predicted(tenant, request_id), layout.labels(tenant, day)]
        if kept.placed is not None:
            keys.append(layout.judged(tenant, kept.placed.rollout, kept.placed.stage))
        args = [units, self._labels_per_day, LABELS_A_STAGE, 2 * _DAY_S, layout.KEPT_S]
        async with reached():
            reply: Any = await self._script(keys=keys, args=args)
        status, before, judged = reply
        if status == b"unknown":
            raise not_found()
        if status == b"capped":
            raise _too_many(self._labels_per_day, _DAY_S - int(now) % _DAY_S)
        return before, judged == 1

    async def _add(self, key: str, change: dict[str, int]) -> None:
        if not change:
            return
        try:
            async with reached():
                await self._counts.add(key, change)
        except TidegateError:
            self.lost += 1


def score_of(kept: Kept, truth: Truth, labels: Sequence[str] | None) -> float:
    """How right a prediction was, 0 to 1.

    Args:
        kept: The prediction.
        truth: What the client says.
        labels: What the version may predict; None if it has no labels, or is not there.

    Raises:
        InvalidInput: If there is a label that is none of these.
    """
    if truth.score is not None:
        return truth.score
    label = truth.label or ""
    if labels is None or kept.label is None:
        issue = f"cannot be given: {kept.model} {kept.version} has no labels here; give a score"
        raise InvalidInput([Fault(field="label", issue=issue, path="/label")])
    if label not in labels:
        allowed = list(labels) if len(labels) <= _SHORT_LIST else None
        issue = f"is no label of {kept.model} {kept.version}"
        fault = Fault(
            field="label", issue=issue, path="/label", received=label[:64], allowed=allowed
        )
        raise InvalidInput([fault])
    return float(label == kept.label)


def _change(
    counted: Callable[[int], dict[str, int]], before: int | None, now: int
) -> dict[str, int]:
    """What to add where a score of ``before`` was counted, if any, so that it is ``now``."""
    after, former = counted(now), {} if before is None else counted(before)
    change = {name: after.get(name, 0) - former.get(name, 0) for name in after | former}
    return {name: number for name, number in change.items() if number}


def _sums(units: int) -> dict[str, int]:
    return {LABELLED: 1, SCORE: units}


def _evidence(placed: Placed, units: int) -> dict[str, int]:
    tally = Tally()
    tally.scored(placed.side, placed.group, units / SCORE_UNITS)
    return tally.drain().counts


def _too_many(most: int, seconds: int) -> TidegateError:
    return TidegateError(
        f"The tenant gave feedback on {most} predictions today",
        code="RATE_LIMITED",
        details={"limit": most, "period": "day"},
        headers={"retry-after": str(seconds)},
    )
