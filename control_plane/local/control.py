"""The control plane's processes: HTTP servers of one address, the admin server, workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from socket import socket
from typing import Final

from control_plane.environment import PREFIX
from control_plane.local.process import ChildSpec
from control_plane.settings import Settings

STOP_MARGIN_S: Final = 5.0
"""What a process gets beyond its own drain or grace before it is killed, in seconds."""


def control_plane_children(
    settings: Settings,
    environment: Mapping[str, str],
    http: socket,
    admin: socket,
    workers: int,
    *,
    keep_fds: tuple[int, ...] = (),
) -> list[ChildSpec]:
    """The processes of the control plane.

    Args:
        settings: What ``environment`` says, read.
        environment: Their environment.
        http: Socket of the public API, opened for so many workers (``public_door``).
        admin: Listening socket of the operators' API.
        workers: Number of HTTP processes.
        keep_fds: Further descriptors that they inherit.
    """

    def child(name: str, role: str, door: socket) -> ChildSpec:
        descriptor = door.fileno()
        return ChildSpec(
            name=name,
            argv=(sys.executable, "-P", "-m", "control_plane", "process", role,
                  "--fd", str(descriptor)),
            env=dict(environment),
            start_timeout_s=60,
            grace_s=settings.drain_s + settings.drain_delay_s + STOP_MARGIN_S,
            keep_fds=(descriptor, *keep_fds),
        )  # fmt: skip

    names = ["http"] if workers == 1 else [f"http-{number + 1}" for number in range(workers)]
    return [*(child(name, "http", http) for name in names), child("admin", "admin", admin)]


def worker_children(
    settings: Settings,
    environment: Mapping[str, str],
    count: int,
    *,
    keep_fds: tuple[int, ...] = (),
) -> list[ChildSpec]:
    """The processes that work on jobs; they listen nowhere.

    Args:
        settings: What ``environment`` says, read.
        environment: Their environment.
        count: Their number; may be 0.
        keep_fds: Descriptors that they inherit.
    """
    names = ["worker"] if count == 1 else [f"worker-{number + 1}" for number in range(count)]
    return [
        ChildSpec(
            name=name,
            argv=(sys.executable, "-P", "-m", "control_plane", "process", "worker"),
            env=dict(environment),
            start_timeout_s=60,
            grace_s=settings.jobs.grace_s + STOP_MARGIN_S,
            keep_fds=keep_fds,
        )
        for name in names
    ]


def child_environment(values: Mapping[str, str], metrics: Path) -> dict[str, str]:
    """Our environment with ``TIDEGATE_*`` values on top, counting into a shared folder.

    Args:
        values: Settings without their prefix, lower case: ``redis_url``.
        metrics: Where the processes keep the counters that the admin server adds up. Files of
            processes that died stay, so that counters never go back.
    """
    named = {PREFIX + name.upper(): value for name, value in values.items()}
    # numpy only splits small tensors here: its thread pool would cost memory and serve nobody.
    fixed = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **named, **fixed}
