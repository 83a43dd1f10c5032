"""`tidegate up`: everything on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from control_plane.cli import options
from control_plane.local.stack import UpOptions, run_up


@click.command
@options.host
@options.port
@options.admin_host
@options.admin_port
@click.option(
    "--data-dir", type=options.FOLDER, default=Path(".tidegate"), show_default=True,
    help="Folder for data, addresses and credentials.",
)  # fmt: skip
@options.workers
@options.job_workers
@options.model_repository
def up(
    host: str,
    port: int,
    admin_host: str,
    admin_port: int,
    data_dir: Path,
    workers: int,
    job_workers: int,
    model_repository: Path,
) -> None:
    """Start Valkey, Triton and the control plane, and keep them running.

    When a prediction works, prints a curl line that repeats it and `ready http://HOST:PORT` to
    standard output. All logs go to standard error. Ctrl-C stops everything; pressed twice, at
    once. The addresses of all parts are in DATA_DIR/endpoints.json while it runs.

    \b
    tidegate up
    tidegate up --port 0 --admin-port 0 --data-dir /tmp/second
    """  # noqa: D301 (\b is click's mark for a block)
    run_up(
        UpOptions(
            host, port, admin_host, admin_port, data_dir, workers, job_workers, model_repository
        ),
        click.echo,
    )
