"""One attempt: what is sent where, signed by whom, and what came of it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from msgspec import Struct

from control_plane.egress.calls import Egress
from control_plane.egress.destinations import Answer, CallFailed
from control_plane.errors import TidegateError
from control_plane.sealing import Unsealable
from control_plane.telemetry.webhook_metrics import WebhookMetrics
from control_plane.webhooks import schedule, signing
from control_plane.webhooks.deliveries import Deliveries
from control_plane.webhooks.endpoints import Endpoints
from control_plane.webhooks.schedule import Verdict
from control_plane.webhooks.shapes import Attempt, Held, Status

log = logging.getLogger(__name__)


class _Target(Struct, frozen=True):
    """Where to, and what signs."""

    url: str
    secrets: list[str]


class _Reply(Struct, frozen=True):
    """What came of a call."""

    status: int = 0
    error: str = ""
    wait_s: float | None = None


class Sender:
    """Makes attempts."""

    def __init__(
        self,
        deliveries: Deliveries,
        endpoints: Endpoints,
        egress: Egress,
        metrics: WebhookMetrics,
        timeout_s: float,
        luck: Callable[[], float] = random.random,
    ) -> None:
        """Send with these.

        Args:
            deliveries: Where it is written what came of an attempt.
            endpoints: Where to, and what signs.
            egress: The way out.
            metrics: Where attempts are counted.
            timeout_s: Seconds that a receiver gets to answer.
            luck: 0 to 1, at random, for the schedule.
        """
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._egress = egress
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._luck = luck

    async def attempt(self, held: Held) -> None:
        """Make an attempt and write what came of it.

        Raises:
            AdmissionUnavailable: If the system of record is away; another attempt is made when
                the lease is over.
        """
        began, started = time.time(), time.perf_counter()
        reply = await self._call(held, began)
        seconds = time.perf_counter() - started
        verdict = schedule.judged(
            held.number, reply.status, reply.error, reply.wait_s, self._luck()
        )
        self._metrics.attempted(reply.status, reply.error, seconds)
        attempt = Attempt(
            at=int(began * 1000), ms=int(seconds * 1000), status=reply.status, error=verdict.error
        )
        if verdict.is_gone and not held.url:
            await self._disable(held)
        if await self._deliveries.settle(held, verdict, attempt):
            self._tell(held, verdict)

    async def _call(self, held: Held, now: float) -> _Reply:
        try:
            body, url = self._deliveries.opened(held)
            target = await self._target(held, url, now)
        except Unsealable:
            log.warning("a webhook was kept with another data key", extra={"id": held.id})
            return _Reply(error="unsealable")
        if isinstance(target, str):
            return _Reply(error=target)
        headers = signing.headers(target.secrets, held.id, int(now), body)
        try:
            answer = await self._egress.post(target.url, body, headers, self._timeout_s)
        except CallFailed as failure:
            return _Reply(error=failure.reason)
        except TidegateError as error:
            return _Reply(error=error.code.lower())
        return _reply(answer)

    async def _target(self, held: Held, url: str, now: float) -> _Target | str:
        """Where to and what signs, or why nothing is sent."""
        if url:
            default = await self._endpoints.default(held.tenant)
            return _Target(url, self._endpoints.opened(default, now))
        try:
            endpoint = await self._endpoints.read(held.tenant, held.receiver)
        except TidegateError as error:
            if error.code == "NOT_FOUND":
                return schedule.DELETED
            raise
        if not endpoint.enabled:
            return schedule.DISABLED
        own = self._endpoints.draft(endpoint).url
        return _Target(own, self._endpoints.opened(endpoint, now))

    async def _disable(self, held: Held) -> None:
        try:
            await self._endpoints.disable(held.tenant, held.receiver)
        except TidegateError as error:
            if error.code != "NOT_FOUND":
                raise

    def _tell(self, held: Held, verdict: Verdict) -> None:
        if verdict.status is Status.FAILED:
            self._metrics.gave_up()
            facts = {"id": held.id, "tenant": held.tenant, "error": verdict.error}
            log.warning("a webhook was given up", extra=facts)


def _reply(answer: Answer) -> _Reply:
    wait_s = schedule.asked_wait(answer.headers.get("retry-after"), time.time())
    return _Reply(status=answer.status, wait_s=wait_s)
