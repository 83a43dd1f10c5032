"""What is kept of a prediction so that feedback can be given on it: nothing of what was sent."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from control_plane.routing.judge.fields import Side

MAX_LABEL: Final = 256
"""Characters of a label that is kept; a prediction with a longer one is taken to have none."""


class Placed(Struct, frozen=True, array_like=True):
    """Where in a rollout a prediction was made.

    Attributes:
        rollout: Id of the rollout.
        stage: What evidence is counted under.
        arm: Version of the candidate, or ``control``.
        side: Which of the two sides that are compared.
        group: Of the subject, 0 to 63.
    """

    rollout: str
    stage: str
    arm: str
    side: Side
    group: int


class Kept(Struct, frozen=True, array_like=True):
    """A prediction that feedback can be given on.

    Attributes:
        model: Public name.
        version: The version that predicted, exact.
        label: What it predicted; None if not a label.
        placed: Where in a rollout; None if it is not compared.
    """

    model: str
    version: str
    label: str | None = None
    placed: Placed | None = None


encode_kept: Final = msgspec.json.Encoder().encode
decode_kept: Final = msgspec.json.Decoder(Kept).decode
