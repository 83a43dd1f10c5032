"""Which predictions are kept for feedback: so many a second, and not all of them of one tenant."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import redis.asyncio as redis
from msgspec import structs

from control_plane.routing import layout
from control_plane.routing.feedback.kept import MAX_LABEL, Kept, encode_kept

WINDOWS_KEPT: Final = 5
"""Seconds' worth of predictions that may wait to be written."""


class Sampler:
    """Keeps a bounded sample of the predictions of one process.

    In each second of the clock at most ``per_second`` are kept, those that come first, and of one
    tenant at most half of them, but one. Not for several threads.
    """

    def __init__(
        self,
        server: redis.Redis,
        per_second: int,
        kept_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to the limits server.

        Args:
            server: A client of it.
            per_second: Predictions kept each second, 0 for none.
            kept_s: Seconds that they are kept.
            clock: Seconds, never going back.
        """
        self._server = server
        self._per_second = per_second
        self._per_tenant = max(1, per_second // 2)
        self._kept_s = kept_s
        self._clock = clock
        self._second = -1
        self._taken = Counter[str]()
        self._left = 0
        self._waiting: list[tuple[str, Kept]] = []

    @property
    def pending(self) -> int:
        """Predictions that wait to be written."""
        return len(self._waiting)

    def has_room(self, tenant: str) -> bool:
        """Whether a prediction of a tenant would be kept now; see :meth:`offer`."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._left = second, self._per_second
            self._taken.clear()
        return (
            self._left > 0
            and bool(tenant)
            and self._taken[tenant] < self._per_tenant
            and len(self._waiting) < WINDOWS_KEPT * self._per_second
        )

    def offer(self, tenant: str, request_id: str, prediction: Kept) -> bool:
        """Keep a prediction if there is room; True if it is kept.

        Args:
            tenant: Whose request it was; empty for a caller without credentials, who can give no
                feedback.
            request_id: Of the request.
            prediction: What was answered.
        """
        if not self.has_room(tenant):
            return False
        self._left -= 1
        self._taken[tenant] += 1
        self._waiting.append((layout.predicted(tenant, request_id), prediction))
        return True

    async def write(self) -> None:
        """Write the predictions that wait; see :class:`Source`."""
        waiting, self._waiting = self._waiting, []
        pipe = self._server.pipeline(transaction=False)
        for key, prediction in waiting:
            pipe.hset(key, "prediction", encode_kept(_bounded(prediction)))
            pipe.expire(key, self._kept_s)
        await pipe.execute()


def _bounded(prediction: Kept) -> Kept:
    if prediction.label is not None and len(prediction.label) > MAX_LABEL:
        return structs.replace(prediction, label=None)
    return prediction
