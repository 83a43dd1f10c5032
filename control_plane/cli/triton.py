"""`tidegate triton`: the local Triton alone."""

from __future__ import annotations

from pathlib import Path

import click

from control_plane.cli import options
from control_plane.local.stack import TritonOptions, run_triton


@click.command
@options.model_repository
@click.option("--http-port", type=options.PORT, default=0, metavar="PORT",
              help="Port of Triton's HTTP; a free one if left out.")  # fmt: skip
@click.option("--grpc-port", type=options.PORT, default=0, metavar="PORT",
              help="Port of Triton's gRPC; a free one if left out.")  # fmt: skip
@click.option("--metrics-port", type=options.PORT, default=0, metavar="PORT",
              help="Port of Triton's metrics; a free one if left out.")  # fmt: skip
@click.option(
    "--data-dir", type=options.FOLDER, default=Path(".tidegate/triton"), show_default=True,
    help="Folder for its backends and addresses.",
)  # fmt: skip
def triton(
    model_repository: Path, http_port: int, grpc_port: int, metrics_port: int, data_dir: Path
) -> None:
    """Run the local Triton alone, on 127.0.0.1.

    Prints its addresses and, when the models are loaded, `ready grpc://HOST:PORT` to standard
    output. Its log goes to standard error.

    \b
    tidegate triton
    tidegate triton --http-port 8000 --grpc-port 8001 --metrics-port 8002
    """  # noqa: D301 (\b is click's mark for a block)
    arguments = TritonOptions(model_repository, http_port, grpc_port, metrics_port, data_dir)
    run_triton(arguments, click.echo)
