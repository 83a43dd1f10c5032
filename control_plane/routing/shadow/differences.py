"""The worst disagreements of a shadow with the answers: a few, and without what was sent."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Annotated, Any, Final

import msgspec
import redis.asyncio as redis
from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.routing import layout
from control_plane.routing.shadow.jobs import Predicted, ShadowAnswer, ShadowJob
from control_plane.routing.shadow.redaction import Kept, StoredInput, input_place, redact
from control_plane.sealing import Sealer, Unsealable

MOST: Final = 200
"""Differences of a shadow that are kept."""
PER_WRITE: Final = 20
"""Differences of a shadow that one process writes at once, the worst of that time."""

_SAID_LENGTH: Final = 64

_encode: Final = msgspec.json.Encoder().encode


class _Stored(Struct, frozen=True, omit_defaults=True):
    """As it lies in the sorted set: of equally bad ones those seen first are the first to go."""

    at: int
    request_id: str
    stage: str
    stable: str
    shadow: str
    distance: float
    error: str
    stable_ms: float
    shadow_ms: float
    inputs: list[StoredInput]


class InputView(Struct, frozen=True, kw_only=True):
    """An input of a request that two versions disagree on."""

    name: str
    type: Annotated[str, Meta(description="JSON type")]
    length: Annotated[int | None, Meta(description="Characters, items or members")]
    kept: Annotated[
        Kept,
        Meta(
            description="`yes` if `value` is there, `too_long` if it is beyond 2 KiB, `unreadable` "
            "if it was encrypted with another data key"
        ),
    ]
    value: Annotated[
        Any | UnsetType, Meta(description="Only of the inputs that the rollout names")
    ] = UNSET


class Difference(Struct, frozen=True, kw_only=True):
    """A request on which the shadow and the answer disagree."""

    at: Annotated[int, Meta(description="Epoch second at which the request came")]
    request_id: str
    stage: Annotated[str, Meta(description="Attempt and step of the rollout")]
    stable: Annotated[str, Meta(description="Label or number of the answer; empty of a vector")]
    shadow: Annotated[str, Meta(description="Label or number of the shadow; empty if it failed")]
    distance: Annotated[float, Meta(ge=0, le=1, description="1 is as far apart as can be")]
    error: Annotated[str, Meta(description="Code of the shadow's error, or empty")]
    stable_ms: Annotated[float, Meta(ge=0, description="Latency of the answer, milliseconds")]
    shadow_ms: Annotated[float, Meta(ge=0, description="Latency of the shadow, milliseconds")]
    inputs: list[InputView]


_Entry = tuple[float, int, ShadowJob, ShadowAnswer]


class Differences:
    """The worst of a process since the last write, and how they are written.

    Inputs are held as they are until then, redacted when they are written.
    """

    def __init__(self, server: redis.Redis, sealer: Sealer) -> None:
        """Write to the limits server.

        Args:
            server: A client of it.
            sealer: Encrypts the inputs that are kept.
        """
        self._server = server
        self._sealer = sealer
        self._worst: dict[str, list[_Entry]] = {}
        self._order = count()

    @property
    def pending(self) -> int:
        """Differences that wait to be written."""
        return sum(map(len, self._worst.values()))

    def note(self, job: ShadowJob, answer: ShadowAnswer, distance: float) -> None:
        """Keep a difference if it is one of the worst of this moment.

        Args:
            job: The request.
            answer: Of the shadow.
            distance: 0 to 1.
        """
        key = layout.differences(job.rollout, str(job.ref.version))
        worst = self._worst.setdefault(key, [])
        entry = (distance, next(self._order), job, answer)
        if len(worst) < PER_WRITE:
            heapq.heappush(worst, entry)
        else:
            heapq.heappushpop(worst, entry)

    async def write(self) -> None:
        """Add the worst to those of the other processes; see :class:`Source`."""
        worst, self._worst = self._worst, {}
        pipe = self._server.pipeline(transaction=False)
        for key, entries in worst.items():
            scores = {self._stored(key, entry): entry[0] for entry in entries}
            pipe.zadd(key, scores)
            pipe.zremrangebyrank(key, 0, -MOST - 1)
            pipe.expire(key, layout.KEPT_S)
        await pipe.execute()

    def _stored(self, key: str, entry: _Entry) -> bytes:
        distance, _, job, answer = entry
        place = _place(key, job.request_id)
        return _encode(
            _Stored(
                at=int(job.arrived),
                request_id=job.request_id,
                stage=job.stage,
                stable=_said(job.answered),
                shadow=_said(answer.predicted),
                distance=round(distance, 6),
                error=answer.error,
                stable_ms=round(job.latency_s * 1000, 3),
                shadow_ms=round(answer.latency_s * 1000, 3),
                inputs=redact(job.inputs, job.keep_inputs, self._sealer, place),
            )
        )


def read_difference(key: str, text: bytes, sealer: Sealer) -> Difference:
    """A difference as it is shown, with the inputs that were kept.

    Args:
        key: Where it lies.
        text: As it was written.
        sealer: Decrypts.
    """
    stored = msgspec.json.decode(text, type=_Stored)
    place = _place(key, stored.request_id)
    named = {name: getattr(stored, name) for name in stored.__struct_fields__}
    named["inputs"] = [_shown(one, sealer, place) for one in stored.inputs]
    return Difference(**named)


def _shown(stored: StoredInput, sealer: Sealer, place: str) -> InputView:
    kept, value = stored.kept, UNSET
    if kept == "yes":
        try:
            text = sealer.unseal(stored.sealed, input_place(place, stored.name))
            value = msgspec.json.decode(text)
        except Unsealable:
            kept = "unreadable"
    return InputView(
        name=stored.name, type=stored.type, length=stored.length, kept=kept, value=value
    )


def _place(key: str, request_id: str) -> str:
    return f"{key}|{request_id}"


def _said(predicted: Predicted) -> str:
    if predicted.label is not None:
        return predicted.label[:_SAID_LENGTH]
    return "" if predicted.number is None else f"{predicted.number:.6g}"
