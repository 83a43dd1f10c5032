"""Dispatchers are killed and receivers are down: every end is told at least once."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from control_plane.webhooks.shapes import Status, Told
from tests.integration.webhooks.house import STREAM, Call, House, Receiver, answers, until

CHECKOUT = Path(__file__).resolve().parents[3]
JOBS = 60


class Died(BaseException):
    """A process that is gone."""


async def test_a_receiver_is_down_for_an_hour_while_dispatchers_are_killed(
    house: House, receiver: Receiver
) -> None:
    """Real processes, killed with SIGKILL; the hour passes for the schedule alone."""
    receiver.behave["/hook"] = answers(503)
    endpoint = await house.endpoint("acme", receiver.url())
    jobs = {await house.ends("acme") for _ in range(JOBS)}
    luck = random.Random(4)
    for _ in range(2):
        async with _process(house) as process:
            before = len(receiver.got())
            await until(lambda before=before: len(receiver.got()) > before + luck.randrange(9))
            process.send_signal(signal.SIGKILL)
            await process.wait()
        house.forward(1800)
    receiver.behave.clear()
    accepted = len(receiver.got())
    house.forward(9000)
    async with house.dispatcher():
        await until(lambda: {call.job for call in receiver.got()[accepted:]} == jobs)
    (secret,) = await house.secrets(endpoint)
    calls = receiver.got()[accepted:]
    assert {call.job for call in calls} == jobs
    for call in calls:
        Webhook(secret).verify(call.body, call.headers)


class _process:  # noqa: N801 - reads as a function
    """A dispatcher in a process of its own."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._process: Any = None

    async def __aenter__(self) -> asyncio.subprocess.Process:
        house = self._house
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.integration.webhooks.dispatching", house.url, str(house.ahead_ms)),
            cwd=CHECKOUT,
        )
        return self._process

    async def __aexit__(self, *error: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.mark.parametrize("place", ["describe", "receive"])
async def test_what_a_dispatcher_leaves_behind_is_taken_up(
    house: House, receiver: Receiver, place: str
) -> None:
    """A dispatcher that ends between any two steps leaves its work to the next."""
    hanging = asyncio.Event()

    async def hangs(call: Call) -> bytes:
        hanging.set()
        await asyncio.sleep(60)
        return b""

    async def describes_never(job: str) -> Told | None:
        hanging.set()
        await asyncio.sleep(60)
        return None

    await house.endpoint("acme", receiver.url())
    more = {}
    if place == "receive":
        receiver.behave["/hook"] = hangs
    else:
        more["describe"] = describes_never
    job = await house.ends("acme")
    async with house.dispatcher(**more) as dispatcher:
        await hanging.wait()
        for task in (*dispatcher._attempts, *dispatcher._loops):
            task.cancel(Died)
    receiver.behave.clear()
    receiver.calls.clear()
    async with house.dispatcher():
        await asyncio.sleep(0.1)
        house.forward(60)
        await until(lambda: [call.job for call in receiver.got()] == [job])
    found = await house.rests("acme", receiver.got()[0].id)
    assert found.status is Status.SUCCEEDED
    lost = [attempt.error for attempt in found.log if attempt.error]
    assert lost == (["dispatcher_lost"] if place == "receive" else [])


async def test_an_end_that_is_told_again_adds_nothing(house: House, receiver: Receiver) -> None:
    await house.endpoint("acme", receiver.url())
    async with house.dispatcher():
        job = await house.ends("acme")
        await until(receiver.got)
        again = {"job": job, "tenant": "acme", "state": "completed"}
        await house.server.xadd(STREAM, again)
        other = await house.ends("acme")
        await until(lambda: len(receiver.got()) == 2)
    assert [call.job for call in receiver.got()] == [job, other]


async def test_who_lost_its_lease_is_not_heard(house: House, receiver: Receiver) -> None:
    """The first dispatcher's late answer does not overwrite what the second is doing."""
    await house.endpoint("acme", receiver.url())
    release, began = asyncio.Event(), asyncio.Event()

    async def waits(call: Call) -> bytes:
        if not began.is_set():
            began.set()
            await release.wait()
            return await answers(410)(call)
        return await answers(500)(call)

    receiver.behave["/hook"] = waits
    async with house.dispatcher():
        await house.ends("acme")
        await began.wait()
        house.forward(60)
        await until(lambda: len(receiver.got()) == 2)
        release.set()
        await asyncio.sleep(0.3)
    found = await house.rests("acme", receiver.got()[0].id)
    assert found.status is Status.WAITING
    assert [attempt.error for attempt in found.log] == ["dispatcher_lost", "status_500"]
