"""`tidegate process`: one process of the control plane, started by the supervisor."""

from __future__ import annotations

import importlib
import os

import click

from control_plane.environment import load_settings
from control_plane.local import notice
from control_plane.sockets import Inherited

ROLES = {
    "http": "control_plane.app:run_http",
    "admin": "control_plane.admin_app:run_admin",
}
"""What serves each role; only that one is imported, to start sooner and stay smaller."""


@click.command(hidden=True)
@click.argument("role", type=click.Choice(sorted(ROLES)))
@click.option("--fd", type=click.IntRange(0), required=True, help="A bound socket.")
@click.option(
    "--ready-fd",
    type=click.IntRange(0),
    envvar=notice.VARIABLE,
    help="A pipe that wants a line once connections are accepted.",
)
def process(role: str, fd: int, ready_fd: int | None) -> None:
    """Serve one role at the address of a socket that is inherited."""
    module, _, function = ROLES[role].partition(":")
    serve = getattr(importlib.import_module(module), function)
    serve(Inherited(fd, ready_fd), load_settings(os.environ))
