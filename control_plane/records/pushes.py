"""Hears of every change to the records, and knows how long it can be sure to have heard of all.

One subscription to the channel of changes. On the same connection a PING is sent at least every
0.25 s; as the server answers in order, a PONG proves that every change made before its PING was
sent has arrived. What was read under an unbroken subscription is therefore as good as read at the
moment of the latest proof, and may be used for ``TRUST_S`` after it. A connection that breaks ends
the proof; what was read under it has to be read again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from control_plane.records import places

log = logging.getLogger(__name__)

TRUST_S: Final = 0.9
"""Seconds after a proof in which what it covers may be used: revocation takes no longer."""
ASK_EVERY_S: Final = 0.25
ANSWER_S: Final = 1.0
RETRY_S: Final = 0.25


class Watch:
    """One unbroken subscription.

    Attributes:
        proven_at: ``monotonic()`` before which every change is known to have arrived, seconds.
    """

    __slots__ = ("proven_at",)

    def __init__(self) -> None:
        self.proven_at = -math.inf


class Changes:
    """Follows the channel of changes for as long as :meth:`follow` runs.

    Attributes:
        watch: The subscription of now; a further one is another object.
    """

    def __init__(
        self,
        records: redis.Redis,
        changed: Callable[[str], None],
        restarted: Callable[[], None],
    ) -> None:
        """Say who listens.

        Args:
            records: The system of record.
            changed: Told what changed: ``key:<id>``, ``tenant:<id>`` or ``tier:<name>``.
            restarted: Told when a subscription begins, before which changes may have been missed.
        """
        self.watch = Watch()
        self._records = records
        self._changed = changed
        self._restarted = restarted
        self._lost = False

    async def follow(self) -> None:
        """Subscribe, and subscribe again after every failure, until cancelled."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                if not self._lost:
                    log.warning("changes of records are not heard", extra={"fault": _name(error)})
                self._lost = True
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        async with self._records.pubsub() as pubsub:
            async with asyncio.timeout(ANSWER_S):
                await pubsub.subscribe(places.CHANGES)
            asked, open_question = -math.inf, False
            while True:
                now = monotonic()
                if open_question and now > asked + ANSWER_S:
                    raise TimeoutError
                if not open_question and now >= asked + ASK_EVERY_S:
                    async with asyncio.timeout(ANSWER_S):
                        await pubsub.ping()
                    asked, open_question = now, True
                wait = asked + (ANSWER_S if open_question else ASK_EVERY_S) - now
                async with asyncio.timeout(2 * ANSWER_S):
                    message = await pubsub.get_message(timeout=max(0.01, wait))
                if message is not None and message["type"] == "pong":
                    open_question = False
                    self._prove(asked)
                elif message is not None:
                    self._hear(message)

    def _prove(self, asked: float) -> None:
        self.watch.proven_at = asked
        if self._lost:
            log.info("changes of records are heard again")
            self._lost = False

    def _hear(self, message: dict[str, Any]) -> None:
        """The client subscribes again by itself when its connection broke: that restarts, too."""
        if message["type"] == "subscribe":
            self.watch = Watch()
            self._restarted()
        elif message["type"] == "message":
            data = message["data"]
            self._changed(data.decode("utf-8", "replace") if isinstance(data, bytes) else data)


def _name(error: Exception) -> str:
    return type(error).__name__
