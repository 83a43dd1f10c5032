"""What admission costs by itself: run as a script, prints JSON.

Callers in one process ask for admission, hold it a while, render the headers and settle, against
the limits server of a running stack. What the same loop costs without admission is taken off.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import redis
import uvloop

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.permit import Price
from control_plane.admission.principal import Principal

SECONDS: Final = 2.0
HOLD_S: Final = 0.005
WIDE: Final = Limits(requests=1_000_000, window_s=1, burst=1_000_000, concurrency=10_000,
                     overage="bill")  # fmt: skip
CALLERS: Final = (1, 16, 64)


async def measure(url: str) -> dict[str, dict[str, float]]:
    """Figures by the way of deciding and the number of callers.

    ``cpu_us``: our CPU time a request; ``server_cpu_us``: the limits server's; ``wait_us``: median
    time until a request was admitted; ``p99_us``: of 99 %; ``asked``: share that waited for the
    server.
    """
    found = {}
    for callers in CALLERS:
        idle = await _run(url, callers, None)
        for name, ahead in (("ahead", True), ("asked", False)):
            price = Price("bench", "v1.0.0", units=1, deadline_ms=1000, ahead=ahead)
            figures = await _run(url, callers, price)
            figures["cpu_us"] -= idle["cpu_us"]
            found[f"{name}, {callers}"] = figures
    return found


async def _run(url: str, callers: int, price: Price | None) -> dict[str, float]:
    link = Link(url)
    gate = Gate(Ledger(link), replicas=lambda: 1, refused=lambda _: None)
    who = Principal("key", "t:bench", "bench", "k:bench", "internal", WIDE, ("predict",))
    loop = asyncio.get_running_loop()
    waits: list[float] = []

    async def with_admission() -> None:
        assert price is not None
        begun = time.perf_counter()
        permit = gate.take(who, price) or await gate.admit(who, price, loop.time() + 10)
        waits.append(time.perf_counter() - begun)
        permit.headers()
        await asyncio.sleep(HOLD_S)
        permit.confirm(0.001)

    async def without() -> None:
        begun = time.perf_counter()
        waits.append(time.perf_counter() - begun)
        await asyncio.sleep(HOLD_S)

    with redis.Redis.from_url(url) as server:
        before, cpu = _server_cpu(server), time.process_time()
        await _call(callers, without if price is None else with_admission)
        cpu = time.process_time() - cpu
        tally = gate.tally()
        await gate.close(2)
        link.close()
        behind = _server_cpu(server) - before
    return {
        "cpu_us": cpu / len(waits) * 1e6,
        "server_cpu_us": behind / len(waits) * 1e6,
        "wait_us": statistics.median(waits) * 1e6,
        "p99_us": statistics.quantiles(waits, n=100)[98] * 1e6,
        "asked": tally.get("asked", 0) / len(waits),
    }


async def _call(callers: int, request: Callable[[], Awaitable[None]]) -> None:
    end = time.perf_counter() + SECONDS

    async def caller() -> None:
        while time.perf_counter() < end:
            await request()

    await asyncio.gather(*(caller() for _ in range(callers)))


def _server_cpu(server: redis.Redis) -> float:
    """CPU seconds of the server so far."""
    info: dict[str, Any] = server.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(measure(sys.stdin.readline().strip()))) + "\n")
