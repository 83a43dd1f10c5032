"""The proof that it works: readiness, then a prediction, then the `curl` line that repeats it."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.document import Contract
from control_plane.local.addresses import join
from control_plane.local.probes import request

FIRST_INTERVAL_S: Final = 0.05
LAST_INTERVAL_S: Final = 1.0
TELL_EVERY_S: Final = 10.0
PREDICTION_TIMEOUT_S: Final = 30.0
PATH: Final = "/api/v1/predict"


def example(contracts: list[CompiledContract], model: str) -> Contract | None:
    """The newest stable version of a model; None if there is no version."""
    found = [compiled for compiled in contracts if compiled.ref.name == model]
    stable = [compiled for compiled in found if compiled.contract.status == "stable"]
    newest = max(stable or found, key=lambda compiled: compiled.ref, default=None)
    return newest.contract if newest is not None else None


def curl(url: str, body: bytes, credentials: Path | None) -> str:
    """A command that works when pasted into a shell.

    Args:
        url: Of the public API.
        body: What to send.
        credentials: The file with the demonstration key, if the model asks for one.
    """
    command = f"curl -s {url}{PATH} -H 'Content-Type: application/json'"
    if credentials is not None:
        read = f'sed -n \'s/.*"demo_key": "\\(.*\\)".*/\\1/p\' {shlex.quote(str(credentials))}'
        command += f' -H "Authorization: Bearer $({read})"'
    return f"{command} -d {shlex.quote(body.decode())}"


async def await_success(
    door: tuple[str, int],
    path: str,
    body: bytes | None,
    say: Callable[[str], None],
    key: str | None = None,
) -> bytes:
    """Repeat a request until it is answered 200; say every ten seconds what is in the way.

    Args:
        door: Host and port.
        path: Where to.
        body: What to send; None for a GET.
        say: Told what is in the way.
        key: API key of the request.

    Returns:
        The body of that answer.
    """
    host, port = door
    told, interval_s = time.monotonic(), FIRST_INTERVAL_S
    while True:
        try:
            status, answer = await request(host, port, path, body, PREDICTION_TIMEOUT_S, key)
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
