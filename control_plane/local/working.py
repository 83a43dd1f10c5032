"""What `tidegate worker` starts: processes that work on jobs, and nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from control_plane.environment import load_settings
from control_plane.local.control import child_environment, worker_children
from control_plane.local.supervisor import supervise
from control_plane.uploads.opening import open_objects


def run_workers(count: int) -> None:
    """Run workers until SIGINT or SIGTERM; fit to be process 1 of a container.

    They write to our own standard output and error, unprefixed, for a log collector.

    Args:
        count: Their number, at least 1.

    Raises:
        LocalError: If they cannot be started.
        InvalidSettings: Naming every ``TIDEGATE_*`` variable that is wrong; a store of
            objects that cannot be used, too.
    """
    settings = load_settings(os.environ)
    open_objects(settings.uploads, settings.data_key)
    with tempfile.TemporaryDirectory(prefix="tidegate-metrics-") as metrics:
        children = worker_children(settings, child_environment({}, Path(metrics)), count)

        async def when_ready() -> None:
            _say(f"working on jobs with {count} processes")

        supervise([children], when_ready, _say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
