"""Several processes, one key: never more than the limit, and hardly less."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Entry, Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.permit import Price
from control_plane.errors import TidegateError
from tests.integration.admission.hammer import principal

CHECKOUT = Path(__file__).resolve().parents[3]
PROCESSES = 8


class Got(Counter[str]):
    """What 8 processes got together.

    Attributes:
        took: Seconds of the server's clock around all of it.
        stamps: Of each process the server's clock at each admission, epoch seconds.
    """

    took = 0.0
    stamps: tuple[list[float], ...] = ()


def hammered(url: str, **plan: Any) -> Got:
    """Let 8 processes call at once; their clocks differ by up to 4,000 s."""
    whole = {
        "url": url, "processes": PROCESSES, "price": {"units": 1}, "ttl_ms": 1000, "pause_s": 0.05,
        "hold_s": 0, "stop": "clean", **plan,
    }  # fmt: skip
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.admission.hammer",
             json.dumps({**whole, "clock_skew_s": (number - 4) * 1000.0})],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(PROCESSES)
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        with redis.Redis.from_url(url) as server:
            begun = clock(server)
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            results = [child.communicate(timeout=100)[0] for child in children]
            took = clock(server) - begun
    finally:
        for child in children:
            child.kill()
            child.wait()
    total = Got()
    reports = [json.loads(result) for result in results]
    for report in reports:
        total.update(report["counts"])
    total.took = took
    total.stamps = tuple([stamp / 1e6 for stamp in report["stamps"]] for report in reports)
    return total


def clock(server: redis.Redis) -> float:
    seconds, micros = server.time()
    return float(seconds) + micros / 1e6


def test_the_rate_holds_over_eight_processes_with_clocks_that_differ(redis_url: str) -> None:
    limits = {"requests": 1000, "window_s": 1, "burst": 5000, "concurrency": 100_000}
    got = hammered(redis_url, tasks=1000, limits=limits, seconds=4, pause_s=0.2)
    assert got["RATE_LIMITED"] > 0
    assert got["admitted"] <= limits["burst"] + limits["requests"] * got.took
    # What was not admitted is still there: nothing of the rate is lost on the way.
    now, left = asyncio.run(remaining(redis_url, limits))
    assert left < limits["burst"], "the bucket overflowed: the test was too slow to tell"
    begun = min(min(stamps) for stamps in got.stamps)
    assert got["admitted"] + left >= 0.99 * (limits["burst"] + limits["requests"] * (now - begun))


async def remaining(url: str, limits: dict[str, int]) -> tuple[float, int]:
    """The server's clock, epoch seconds, and the requests that it would admit now."""
    link = Link(url)
    entry = Entry("t:hammered", Limits(**limits), [], [])
    standing = (await Ledger(link).ask([entry]))[0].standing
    link.close()
    return standing.now_us / 1e6, standing.remaining


def test_the_quota_ends_to_the_unit_under_64_batches_at_once(redis_url: str) -> None:
    limits = {"requests": 10**6, "window_s": 1, "burst": 10**6, "concurrency": 10_000,
              "month_units": 5000}  # fmt: skip
    got = hammered(redis_url, tasks=8, limits=limits, seconds=2, price={"units": 7, "cost": 7})
    assert got["admitted"] == 5000 // 7
    assert got["QUOTA_EXCEEDED"] > 0


def test_requests_in_flight_are_never_more_than_allowed(redis_url: str) -> None:
    limits = {"requests": 10**6, "window_s": 1, "burst": 10**6, "concurrency": 10}
    with redis.Redis.from_url(redis_url) as server:
        got = hammered(redis_url, tasks=4, limits=limits, seconds=2, hold_s=0.05, pause_s=0.002)
        assert got["CONCURRENCY_LIMITED"] > 0
        assert 0 < got["admitted"] <= 10 * 2 / 0.05
        assert server.hget(layout.state("t:hammered"), "slots") == b"0"


def test_processes_that_are_killed_leave_nothing_behind_once_their_permits_lapse(
    redis_url: str,
) -> None:
    limits = {"requests": 10**6, "window_s": 1, "burst": 10**6, "concurrency": 10_000,
              "month_units": 10_000}  # fmt: skip
    plan = {
        "url": redis_url, "processes": 1, "price": {"units": 3}, "ttl_ms": -9000, "pause_s": 1,
        "hold_s": 60, "stop": "never", "tasks": 20, "limits": limits, "seconds": 1,
        "clock_skew_s": 0,
    }  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.admission.hammer", json.dumps(plan)],
        cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with redis.Redis.from_url(redis_url) as server:
        state = layout.state("t:hammered")
        try:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
            await_until(lambda: int(server.hget(state, "mu") or 0) >= 60)
        finally:
            child.kill()
            child.wait()
        assert int(server.hget(state, "slots") or 0) >= 20

        async def look() -> int:
            link = Link(redis_url)
            entry = Entry("t:hammered", Limits(**limits), [], [])
            standing = (await Ledger(link).ask([entry]))[0].standing
            link.close()
            return standing.month_used

        await_until(lambda: asyncio.run(look()) == 0)
        assert server.hget(state, "slots") == b"0"


async def test_who_waits_exactly_as_long_as_told_is_admitted(redis_url: str) -> None:
    # 1.8 s apart: a wait rounded down would be too short.
    limits = Limits(requests=33, window_s=60, burst=1, concurrency=10)
    price = Price("wine", "v1.0.0", deadline_ms=1000, ahead=True)
    link = Link(redis_url)
    gate = Gate(Ledger(link), replicas=lambda: 1, refused=lambda _: None)
    loop = asyncio.get_running_loop()

    async def lone(number: int) -> bool:
        who = principal(f"lone{number}", limits)
        (await gate.admit(who, price, loop.time() + 30)).confirm(0)
        with pytest.raises(TidegateError) as refused:
            await gate.admit(who, price, loop.time() + 30)
        assert refused.value.code == "RATE_LIMITED"
        await asyncio.sleep(int(refused.value.headers["retry-after"]))
        (await gate.admit(who, price, loop.time() + 30)).confirm(0)
        return True

    assert all(await asyncio.gather(*(lone(number) for number in range(1000))))
    await gate.close(5)
    link.close()


def await_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait for a condition that is to come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
