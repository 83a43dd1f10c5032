"""`tidegate process`: one process of the control plane, started by the supervisor."""

from __future__ import annotations

import os

import click

from control_plane.app import run_admin, run_http
from control_plane.settings import load_settings

_FD = click.option("--fd", type=click.IntRange(0), required=True, help="A listening socket.")


@click.group(hidden=True)
def process() -> None:
    """One process of the control plane, on a listening socket that it inherits."""


@process.command
@_FD
def http(fd: int) -> None:
    """Serve the public API."""
    run_http(fd, load_settings(os.environ))


@process.command
@_FD
def admin(fd: int) -> None:
    """Serve the operators' API."""
    run_admin(fd, load_settings(os.environ))
