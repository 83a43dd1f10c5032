"""How often: one run of a load generator against one address."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

HERE: Final = Path(__file__).parent
ANSWER_TIMEOUT_S: Final = 60
MARGIN_S: Final = 90
"""Time beyond its run that a generator gets to end, in seconds."""


class LoadResult(Struct, frozen=True):
    """What a generator saw in one run of a closed loop.

    Attributes:
        answers: Answers in all.
        seconds: Length of the run.
        p50_ms: Median time of an answer.
        p99_ms: Time within which 99 % of the answers came.
        refused: Answers that were no 2xx.
        broken: Connections that failed, and answers that never came.
    """

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


class Load(Struct, frozen=True):
    """One run to be made.

    Attributes:
        url: Where to send.
        headers: Of every request.
        bodies: File with one JSON body a line; they are sent in turn.
        connections: Requests in flight at any time, each on a connection of its own.
        seconds: Length of the run.
    """

    url: str
    headers: dict[str, str]
    bodies: Path
    connections: int
    seconds: float


def generator_name() -> str:
    """The generator that :func:`run` uses: wrk if it is installed, else the bundled one."""
    return "wrk" if shutil.which("wrk") else "bundled asyncio generator"


def run(load: Load) -> LoadResult:
    """Make a run.

    Raises:
        RuntimeError: If the generator fails.
    """
    command = _wrk(load) if shutil.which("wrk") else _bundled(load)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=load.seconds + MARGIN_S, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"the load generator failed: {done.stderr.strip()[-500:]}")
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=LoadResult)


def _wrk(load: Load) -> list[str]:
    flags = [flag for name, value in load.headers.items() for flag in ("-H", f"{name}: {value}")]
    return [
        "wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(load.seconds))}s",
        "--timeout", f"{ANSWER_TIMEOUT_S}s", "-s", str(HERE / "wrk.lua"), *flags,
        load.url, "--", str(load.bodies),
    ]  # fmt: skip


def _bundled(load: Load) -> list[str]:
    return [
        sys.executable, str(HERE / "generator.py"), load.url, json.dumps(load.headers),
        str(load.bodies), str(load.connections), str(load.seconds),
    ]  # fmt: skip
