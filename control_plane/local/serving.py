"""What `tidegate serve` starts: the control plane alone, against servers that run elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from msgspec import Struct

from control_plane.environment import load_settings
from control_plane.local.addresses import join, listen, port_of, public_door
from control_plane.local.control import child_environment, control_plane_children
from control_plane.local.supervisor import supervise
from control_plane.uploads.opening import open_objects


class ServeOptions(Struct, frozen=True):
    """The options of `tidegate serve`; ports of 0 take free ones."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    workers: int


def run_serve(options: ServeOptions) -> None:
    """Run the control plane until SIGINT or SIGTERM; fit to be process 1 of a container.

    The processes write to our own standard output and error, unprefixed, for a log collector.

    Raises:
        LocalError: If it cannot be started.
        InvalidSettings: Naming every ``TIDEGATE_*`` variable that is wrong; a store of
            objects that cannot be used, too.
    """
    settings = load_settings(os.environ)
    open_objects(settings.uploads, settings.data_key)
    with contextlib.ExitStack() as stack:
        door = public_door(options.host, options.port, "--port", options.workers)
        http = stack.enter_context(door)
        admin = stack.enter_context(listen(options.admin_host, options.admin_port, "--admin-port"))
        metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-metrics-"))
        children = control_plane_children(
            settings,
            child_environment({}, Path(metrics)),
            http,
            admin,
            options.workers,
        )

        async def when_ready() -> None:
            _say(f"serving on http://{join(options.host, port_of(http))}, "
                 f"operators on http://{join(options.admin_host, port_of(admin))}")  # fmt: skip

        supervise([children], when_ready, _say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
