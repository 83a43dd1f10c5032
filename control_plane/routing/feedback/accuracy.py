"""How right the predictions of a version were, as far as there is feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis.asyncio as redis

from control_plane.records.server import read
from control_plane.routing import layout
from control_plane.routing.judge.fields import SCORE_UNITS
from control_plane.routing.shares import Share, share

LABELLED: Final = "labelled"
SCORE: Final = "score"


class Accuracies:
    """The mean score of versions, with Wilson's 95 % interval.

    It is of the feedback that was given, which need not be a fair sample of the predictions: who
    tells more often of what was wrong makes a version look worse than it is.
    """

    def __init__(self, server: redis.Redis) -> None:
        """Read from the limits server.

        Args:
            server: A client of it; its replies are bytes.
        """
        self._server = server

    async def of(self, model: str, versions: Sequence[str]) -> dict[str, Share]:
        """The accuracy of each version of a model on which there is feedback.

        Args:
            model: Public name.
            versions: Exact.

        Raises:
            AdmissionUnavailable: If the server does not answer within two seconds.
        """

        async def step() -> Any:
            pipe = self._server.pipeline(transaction=False)
            for version in versions:
                pipe.hgetall(layout.feedback(model, version))
            return await pipe.execute()

        found = await read(self._server, step) if versions else []
        shares = zip(versions, map(read_accuracy, found), strict=True)
        return {version: mean for version, mean in shares if mean is not None}


def read_accuracy(counts: Mapping[bytes, bytes]) -> Share | None:
    """The mean score of a hash of counts; None without feedback."""
    labelled = int(counts.get(LABELLED.encode(), 0))
    return share(int(counts.get(SCORE.encode(), 0)) / SCORE_UNITS, labelled)
