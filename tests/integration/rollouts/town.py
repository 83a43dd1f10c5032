"""A gateway whose operators roll versions out while clients go on calling."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from tests.integration.rollouts.house import House
from tests.stack import Stack, until

USERS = 300
PATIENCE_S = 120.0


class Traffic:
    """Clients that call a model until they are told to stop.

    Attributes:
        statuses: Answers by status; 0 for a connection that broke.
        versions: The versions that each user got, in order, each change once.
        failures: Bodies of answers that were no 200.
        rollouts: Values of the header X-Rollout.
    """

    def __init__(self, url: str, key: str, model: str, rate: float, seed: int) -> None:
        self.statuses = Counter[int]()
        self.versions: dict[int, list[str]] = {}
        self.failures: list[str] = []
        self.rollouts: set[str] = set()
        self._url = f"{url}/api/v1/models/{model}/predict"
        self._key = key
        self._rate = rate
        self._random = random.Random(seed)
        self._stop = threading.Event()

    @property
    def total(self) -> int:
        """Answers so far."""
        return self.statuses.total()

    @contextlib.contextmanager
    def flowing(self) -> Iterator[Traffic]:
        """Call from a thread of its own."""
        thread = threading.Thread(target=lambda: asyncio.run(self._flow()))
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    async def _flow(self) -> None:
        headers = {"authorization": f"Bearer {self._key}"}
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            pending: set[asyncio.Task[None]] = set()
            while not self._stop.is_set():
                task = asyncio.create_task(self._call(client))
                pending.add(task)
                task.add_done_callback(pending.discard)
                await asyncio.sleep(1 / self._rate)
            if pending:
                await asyncio.wait(pending)

    async def _call(self, client: httpx.AsyncClient) -> None:
        user, x = self._random.randrange(USERS), self._random.random() * 0.75
        try:
            answer = await client.post(
                self._url, json={"inputs": {"x": x}}, headers={"x-user": f"user-{user}"}
            )
        except httpx.TransportError as error:
            self.statuses[0] += 1
            self.failures.append(repr(error))
            return
        self.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            self.failures.append(answer.text)
            return
        self.rollouts.add(answer.headers.get("x-rollout", ""))
        seen = self.versions.setdefault(user, [])
        version = answer.headers["x-model-version"]
        if not seen or seen[-1] != version:
            seen.append(version)


class Town:
    """The gateway, its repository and its operators.

    Attributes:
        stack: The gateway.
        house: Its model repository.
    """

    def __init__(self, stack: Stack, house: House) -> None:
        self.stack = stack
        self.house = house

    def traffic(self, model: str, rate: float = 80.0, seed: int = 1) -> Traffic:
        """Clients of a model, so many calls a second."""
        return Traffic(self.stack.http, self.stack.keys[0], model, rate, seed)

    def operate(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        """Call the operators' API and expect a status."""
        answer = self.stack.operators.request(method, path, json=None if method == "GET" else body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def start(self, model: str, **rollout: Any) -> Any:
        """Start a rollout by the header X-User, once its candidates are ready."""
        body = {"sticky_by": "header:X-User", **rollout}

        def started() -> Any:
            answer = self.stack.operators.post(f"/models/{model}/rollout", json=body)
            if answer.status_code == 201:
                return answer.json()
            assert answer.json()["error"]["code"] == "VERSION_NOT_READY", answer.text
            return None

        return self.eventually(started)

    def running(self, model: str) -> Any:
        """The status of the running rollout; None if there is none."""
        answer = self.stack.operators.get(f"/models/{model}/rollout")
        return answer.json() if answer.status_code == 200 else None

    def ended(self, model: str) -> Any:
        """The report of the rollout that ended last, once there is one."""

        def last() -> Any:
            found = self.operate("GET", f"/rollouts?model={model}")["items"]
            return found[-1] if found else None

        return self.eventually(last)

    @staticmethod
    def eventually(found: Any) -> Any:
        """What a function gives once it gives something."""
        got: list[Any] = []

        def asked() -> bool:
            got.append(found())
            return bool(got[-1])

        assert until(asked, PATIENCE_S), "it did not come"
        return got[-1]

    def default(self, model: str) -> str:
        """The version that answers who names none."""
        answer = self.stack.client.get(f"/api/v1/models/{model}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["default_version"])

    def settled(self) -> None:
        """Give every process the second that it may take to hear of a change."""
        time.sleep(1.0)
