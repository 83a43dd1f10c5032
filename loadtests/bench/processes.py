"""Processor time and memory of process trees."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from msgspec import Struct

_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class Memory(Struct, frozen=True):
    """Memory of some processes, MiB.

    Attributes:
        rss: Resident now; what processes share counts once for each.
        pss: Resident now; what processes share is divided among them.
        peak_rss: Resident at most since their start.
    """

    rss: float
    pss: float
    peak_rss: float


class Tree:
    """Processes and all their descendants."""

    def __init__(self, pids: list[int]) -> None:
        """Take the ids of the processes."""
        self._roots = [psutil.Process(pid) for pid in pids]

    def cpu_s(self) -> float:
        """Processor time so far, user and system, seconds."""
        spent_s = 0.0
        for process in self._all():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent_s += times.user + times.system
        return spent_s

    def memory(self) -> Memory:
        """Memory now."""
        full = [process.memory_full_info() for process in self._all()]
        peaks = [
            int(found[1])
            for process in self._all()
            if (found := _PEAK.search(Path(f"/proc/{process.pid}/status").read_text()))
        ]
        mib = 1024 * 1024
        return Memory(
            rss=sum(each.rss for each in full) / mib,
            pss=sum(each.pss for each in full) / mib,
            peak_rss=sum(peaks) / 1024,
        )

    def _all(self) -> list[psutil.Process]:
        return [
            process for root in self._roots for process in (root, *root.children(recursive=True))
        ]


def trees_of(supervisor: int) -> dict[str, Tree]:
    """The processes of `tidegate up` by role.

    Args:
        supervisor: Id of its first process.

    Returns:
        ``triton`` (the server with the processes of its models), ``tidegate`` (the HTTP processes)
        and ``others`` (the admin server and both Valkeys; the supervisor is left out).
    """
    roles: dict[str, list[int]] = {"triton": [], "tidegate": [], "others": []}
    for child in psutil.Process(supervisor).children():
        command = child.cmdline()
        if any("tritonserver" in part for part in command[:1]):
            roles["triton"].append(child.pid)
        elif "process" in command and "http" in command:
            roles["tidegate"].append(child.pid)
        else:
            roles["others"].append(child.pid)
    return {role: Tree(pids) for role, pids in roles.items()}
