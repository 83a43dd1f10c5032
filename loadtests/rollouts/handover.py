"""One version takes over from another under load: loaded before, unloaded after."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from loadtests.rollouts.gateway import Gateway, eventually
from loadtests.rollouts.results import Handover, latency_of
from loadtests.rollouts.traffic import Traffic, number
from tests.integration.rollouts.house import House

MODEL: Final = "moving"
FORMER: Final = "v1.0.0"
LATER: Final = "v2.0.0"
RATE: Final = 150.0
"""Requests a second."""
AROUND_S: Final = 5.0
"""Before the first part and after each."""
FAR: Final = 4_000_000_000
"""A sunset that does not come, epoch seconds."""


def handover(gateway: Gateway, house: House) -> Handover:
    """Add, load and promote a version; deprecate, retire and unload the one before."""
    lasted: dict[str, float] = {}
    begun: dict[str, float] = {}
    with Traffic(gateway, MODEL, RATE, number).flowing() as traffic:

        def part(name: str, do: Callable[[], object]) -> None:
            begun[name] = time.time()
            do()
            lasted[name] = time.time() - begun[name]
            time.sleep(AROUND_S)

        part("before", lambda: None)
        part("added and loaded", lambda: _add(gateway, house))
        part("promoted", lambda: _promote(gateway))
        part("deprecated", lambda: _deprecate(gateway))
        part("retired and unloaded", lambda: _retire(gateway))
    ends = [*list(begun.values())[1:], float("inf")]
    parts = dict(zip(begun, zip(begun.values(), ends, strict=True), strict=True))
    lost = [each for each in traffic.seen if each.status != HTTPStatus.OK]
    return Handover(
        requests=len(traffic.seen),
        lost=[
            f"{name}, {each.due - start:.3f} s after its start: {each.status} {each.problem}"
            for name, (start, end) in parts.items()
            for each in lost
            if start <= each.due < end
        ],
        latency=latency_of(traffic.seen),
        worst_ms={
            name: latency_of([s for s in traffic.seen if start <= s.due < end]).longest_ms
            for name, (start, end) in parts.items()
        },
        lasted_s=lasted,
    )


def _add(gateway: Gateway, house: House) -> None:
    house.put(LATER, model=MODEL)
    gateway.operate("POST", "/models/refresh")
    eventually(lambda: _states(gateway, LATER) == {"ready"})


def _promote(gateway: Gateway) -> None:
    gateway.operate("POST", f"/models/{MODEL}/versions/{LATER}/promote")


def _deprecate(gateway: Gateway) -> None:
    gateway.operate("POST", f"/models/{MODEL}/versions/{FORMER}/deprecate", sunset_at=FAR)


def _retire(gateway: Gateway) -> None:
    gateway.operate("POST", f"/models/{MODEL}/versions/{FORMER}/retire")
    eventually(lambda: _states(gateway, FORMER) <= {"absent"})


def _states(gateway: Gateway, version: str) -> set[str]:
    """What the Tritons say of a version."""
    found: dict[str, Any] = gateway.operate("GET", f"/models/{MODEL}")
    version_view = next((v for v in found["versions"] if v["version"] == version), None)
    return {server["state"] for server in version_view["servers"]} if version_view else set()
