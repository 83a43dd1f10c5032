"""`tidegate serve`: the control plane alone."""

from __future__ import annotations

import click

from control_plane.cli import options
from control_plane.local.serving import ServeOptions, run_serve


@click.command
@options.host
@options.port
@options.admin_host
@options.admin_port
@options.workers
def serve(host: str, port: int, admin_host: str, admin_port: int, workers: int) -> None:
    """Run the control plane against servers that run elsewhere.

    Settings come from the environment. These two are required; all others are in docs/settings.md.

    \b
    TIDEGATE_TRITON_URLS   gRPC addresses of Triton, host:port, comma separated
    TIDEGATE_REDIS_URL     the Valkey or Redis that is the system of record

    \b
    TIDEGATE_TRITON_URLS=triton:8001 TIDEGATE_REDIS_URL=redis://valkey:6379/0 \\
        tidegate serve --host 0.0.0.0 --workers 2
    """  # noqa: D301 (\b is click's mark for a block)
    run_serve(ServeOptions(host, port, admin_host, admin_port, workers))
