"""What a shadow is given and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from control_plane.types import ModelRef

FAULTS: Final = frozenset({"MODEL_FAILED"})
"""Errors that the version itself is to blame for. The others may come of the shadow's last place
in every queue, or of a contract that does not take the inputs."""

_SUFFIX_DIGITS: Final = 8


class Predicted(Struct, frozen=True, kw_only=True):
    """What a version said, in the form that two versions can be compared in.

    Attributes:
        label: Of a classification.
        probabilities: Of its labels, 0 to 1.
        number: Of a regression.
        vector: An embedding; of other tensors all their numbers in the contract's order.
    """

    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    number: float | None = None
    vector: Sequence[float] | None = None


class ShadowJob(Struct, frozen=True, kw_only=True):
    """A request that was answered and that the shadow is to see, too.

    Attributes:
        rollout: Id of the rollout.
        stage: What evidence is counted under.
        ref: The version that sees it.
        group: Of the subject, 0 to 63.
        request_id: Of the request.
        arrived: Epoch seconds at which it came.
        inputs: Completed, as the version that answered took them; not copied.
        answered: What was answered.
        latency_s: Of the answer, seconds, measured as that of the :class:`ShadowAnswer`.
        keep_inputs: Names of inputs that a difference may show.
        is_judged: True if the version is judged by what it says here, as it answers nobody.
    """

    rollout: str
    stage: str
    ref: ModelRef
    group: int
    request_id: str
    arrived: float
    inputs: Mapping[str, Any]
    answered: Predicted
    latency_s: float
    keep_inputs: tuple[str, ...] = ()
    is_judged: bool = False


class ShadowAnswer(Struct, frozen=True, kw_only=True):
    """What the shadow made of a request.

    Attributes:
        predicted: What it said; nothing if it failed.
        latency_s: Seconds; of one that failed it is not counted.
        error: Code of the catalogue; empty if it said something.
    """

    predicted: Predicted = Predicted()
    latency_s: float = 0.0
    error: str = ""


class Drop(StrEnum):
    """Why a shadow did not see a request that was meant for it."""

    FULL = "full"
    """Too many wait."""
    PRESSED = "pressed"
    """The requests that are answered need the room."""
    STOPPED = "stopped"
    """The process ended."""
    INCOMPARABLE = "incomparable"
    """Neither version said anything that can be compared."""


def takes(request_id: str, portion: float) -> bool:
    """Whether a request is of the share that a shadow sees; always the same for one id.

    Args:
        request_id: Ends in random hexadecimal digits.
        portion: Of all requests, 0 to 1.
    """
    return int(request_id[-_SUFFIX_DIGITS:], 16) < portion * 16**_SUFFIX_DIGITS
