"""Composition root of the process that works on jobs."""

from __future__ import annotations

import asyncio
import signal

import uvloop
from prometheus_client import REGISTRY

from control_plane import memory
from control_plane.settings import Settings
from control_plane.sockets import tell_ready
from control_plane.telemetry.logs import setup_logs
from control_plane.telemetry.metrics import Metrics
from control_plane.worker_lifespan import open_worker


def run_worker(ready: int | None, settings: Settings) -> None:
    """Work on jobs until SIGTERM or SIGINT.

    Args:
        ready: Descriptor of a pipe that wants a line once jobs are claimed, or None.
        settings: As read at the start.

    Raises:
        InvalidSettings: If the system of record may not keep jobs, or the object store cannot be
            opened.
        FaultyContract: If the model repository cannot be read at all.
    """
    setup_logs()
    uvloop.run(_work(ready, settings, Metrics(REGISTRY)))


async def _work(ready: int | None, settings: Settings, metrics: Metrics) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with open_worker(settings, metrics):
        memory.settle()
        tell_ready(ready)
        await stopped.wait()
