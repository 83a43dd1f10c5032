"""Clients that want their jobs kept: each repeats its request until it has an answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import httpx

from tests.chaos.plan import Errand, Kind
from tests.chaos.seen import Sample, Seen

TIMEOUT_S: Final = 10.0
AGAIN_S: Final = 0.15
LATE_S: Final = 2.5
AT_ONCE: Final = 48
"""Clients that wait for an answer."""
TRIES: Final = 250
"""Far more than any outage of a run costs."""
PAGE: Final = 200
_MAY_PASS: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.CONFLICT})


class Given(Exception):
    """The answer is final and not a good one."""


class Clients:
    """The clients of all tenants.

    Attributes:
        answered: When the latest answer came, in seconds of the monotonic clock.
    """

    def __init__(self, url: str, keys: dict[str, str], seen: Seen) -> None:
        """Call a door.

        Args:
            url: Of the public API.
            keys: An API key of each tenant.
            seen: Takes what they see.
        """
        self._keys = keys
        self.answered = 0.0
        self._free = asyncio.Semaphore(AT_ONCE)
        self._seen = seen
        limits = httpx.Limits(max_connections=2 * AT_ONCE)
        self.http = httpx.AsyncClient(
            base_url=f"{url}/api/v1", timeout=TIMEOUT_S, limits=limits, trust_env=False
        )

    async def run(self, errands: Sequence[Errand], every_s: float) -> None:
        """Submit at a steady pace, each until it is acknowledged; when many wait, the rest do.

        Args:
            errands: In their order.
            every_s: Seconds between two.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, errand in enumerate(errands):
                await asyncio.sleep(begun + number * every_s - loop.time())
                await self._free.acquire()
                group.create_task(self._guarded(self.submit, errand))

    async def _guarded(self, step: Callable[[Errand], Awaitable[None]], errand: Errand) -> None:
        try:
            await step(errand)
        except Given as error:
            self._seen.refused.append(f"{errand.kind} {errand.number}: {error}")
        finally:
            self._free.release()

    async def submit(self, errand: Errand) -> None:
        """Submit a job until it is acknowledged, and cancel it if that is its fate."""
        answer = None
        if errand.impatient_s:
            self._seen.tries += 1
            answer = await self._left(errand)
        if answer is None:
            answer = await self.until_answered(
                errand.tenant, "POST", "/jobs", json=errand.body, headers=errand.headers
            )
        if answer.status_code != HTTPStatus.ACCEPTED:
            raise Given(f"{answer.status_code} {answer.text[:300]}")
        job = str(answer.json()["job_id"])
        self._seen.replayed += answer.headers.get("idempotent-replayed") == "true"
        self._seen.jobs[job] = errand
        if errand.kind is Kind.CANCELED:
            # Every other one has probably ended by then.
            await asyncio.sleep(LATE_S * (errand.number % 2))
            await self._cancel(errand, job)

    async def _left(self, errand: Errand) -> httpx.Response | None:
        """The answer, if it comes before the client loses its patience."""
        try:
            async with asyncio.timeout(errand.impatient_s):
                answer = await self._send(errand.tenant, "POST", "/jobs", json=errand.body,
                                          headers=errand.headers)  # fmt: skip
        except (TimeoutError, httpx.TransportError):
            return None
        return answer if answer.status_code == HTTPStatus.ACCEPTED else None

    async def _cancel(self, errand: Errand, job: str) -> None:
        answer = await self.until_answered(errand.tenant, "POST", f"/jobs/{job}/cancel")
        if answer.status_code == HTTPStatus.OK:
            self._seen.canceled.add(job)
        elif "JOB_ENDED" not in answer.text:
            raise Given(f"cancel: {answer.status_code} {answer.text[:300]}")

    async def watch(self, seed: int) -> None:
        """Read jobs at random until cancelled, each twice within a little while."""
        source = random.Random(f"watch {seed}")
        while True:
            await asyncio.sleep(source.uniform(0.01, 0.1))
            if not self._seen.jobs:
                continue
            recent = list(self._seen.jobs)[-50:]
            chosen = recent if source.random() < 0.5 else list(self._seen.jobs)
            job = source.choice(chosen)
            try:
                answer = await self._send(self._seen.jobs[job].tenant, "GET", f"/jobs/{job}")
            except (httpx.TransportError, httpx.InvalidURL):
                continue
            if answer.status_code == HTTPStatus.OK:
                self._seen.sample(job, sample_of(answer.json()))
            elif answer.status_code == HTTPStatus.NOT_FOUND:
                self._seen.refused.append(f"{job} was not found")

    async def read(self, job: str) -> Sample | None:
        """A job as it is now; None if the API does not know it."""
        try:
            answer = await self.until_answered(self._seen.jobs[job].tenant, "GET", f"/jobs/{job}")
        except Given:
            return None
        return sample_of(answer.json()) if answer.status_code == HTTPStatus.OK else None

    async def list(self, tenant: str) -> dict[str, str]:
        """State of every job that a tenant has, by its id; those that can be read."""
        found: dict[str, str] = {}
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            try:
                answer = await self.until_answered(tenant, "GET", "/jobs", params=query)
            except Given:
                return found
            if answer.status_code != HTTPStatus.OK:
                return found
            page = answer.json()
            rows = page.get("items", page.get("jobs", page.get("data")))
            found |= {row["job_id"]: row["status"] for row in rows}
            if not page.get("next_cursor"):
                return found
            query["cursor"] = page["next_cursor"]

    async def until_answered(
        self, tenant: str, method: str, path: str, **request: Any
    ) -> httpx.Response:
        """Send a request until it is answered other than with a failure that may pass.

        Raises:
            Given: If it never is.
        """
        told = ""
        for _ in range(TRIES):
            try:
                answer = await self._send(tenant, method, path, **request)
            except httpx.TransportError as error:
                told = repr(error)
            else:
                if not may_pass(answer):
                    return answer
                told = f"{answer.status_code} {answer.text[:300]}"
            self._seen.tries += method == "POST"
            await asyncio.sleep(AGAIN_S)
        raise Given(f"{method} {path} was never answered: {told}")

    async def _send(self, tenant: str, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._keys[tenant]}", **request.pop("headers", {})}
        answer = await self.http.request(method, path, headers=headers, **request)
        self.answered = time.monotonic()
        return answer


def may_pass(answer: httpx.Response) -> bool:
    """True if the same request may be answered otherwise a moment later."""
    if answer.status_code == HTTPStatus.CONFLICT:
        return "IN_PROGRESS" in answer.text
    return answer.status_code in _MAY_PASS or answer.is_server_error


def sample_of(view: dict[str, Any]) -> Sample:
    """A job from its view."""
    return Sample(
        state=view["status"],
        progress=view["progress"],
        revision=view.get("revision", -1),
        ended_at=view.get("ended_at"),
        outcome=view.get("result") or view.get("error"),
        attempts=view["attempts"],
    )
