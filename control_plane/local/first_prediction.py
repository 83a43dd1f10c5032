"""The proof that it works: readiness, then a prediction, then the `curl` line that repeats it."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from typing import Any, Final

from control_plane.contracts.compiler import CompiledContract
from control_plane.local.addresses import join
from control_plane.local.probes import request

FIRST_INTERVAL_S: Final = 0.05
LAST_INTERVAL_S: Final = 1.0
TELL_EVERY_S: Final = 10.0
PREDICTION_TIMEOUT_S: Final = 30.0
PATH: Final = "/api/v1/predict"


def example_inputs(contracts: list[CompiledContract], model: str) -> dict[str, Any] | None:
    """The first example of the newest stable version of a model; None if there is none."""
    found = [compiled for compiled in contracts if compiled.ref.name == model]
    stable = [compiled for compiled in found if compiled.contract.status == "stable"]
    newest = max(stable or found, key=lambda compiled: compiled.ref, default=None)
    return newest.contract.examples[0] if newest is not None else None


def curl(url: str, body: bytes) -> str:
    """A command that works when pasted into a shell."""
    return (
        f"curl -s {url}{PATH} -H 'Content-Type: application/json' -d {shlex.quote(body.decode())}"
    )


async def await_success(
    host: str, port: int, path: str, body: bytes | None, say: Callable[[str], None]
) -> bytes:
    """Repeat a request until it is answered 200; say every ten seconds what is in the way.

    Returns:
        The body of that answer.
    """
    told, interval_s = time.monotonic(), FIRST_INTERVAL_S
    while True:
        try:
            status, answer = await request(host, port, path, body, PREDICTION_TIMEOUT_S)
        except OSError as error:
            status, answer = 0, str(error).encode()
        if status == 200:
            return answer
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            say(f"still waiting for {join(host, port)}{path}: {status or ''} {_brief(answer)}")
        await asyncio.sleep(interval_s)
        interval_s = min(LAST_INTERVAL_S, 1.5 * interval_s)


def _brief(answer: bytes) -> str:
    return " ".join(answer.decode(errors="replace").split())[:400]
