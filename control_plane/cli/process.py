"""`tidegate process`: one process of the control plane, started by the supervisor."""

from __future__ import annotations

import importlib
import os
from typing import Final

import click
from msgspec import Struct

from control_plane.environment import load_settings
from control_plane.local import notice
from control_plane.sockets import Inherited


class Role(Struct, frozen=True):
    """What a process can be.

    Attributes:
        run: Module and function; only that one is imported, to start sooner and stay smaller.
        listens: True if it has a door, whose socket it inherits.
    """

    run: str
    listens: bool


ROLES: Final = {
    "http": Role("control_plane.app:run_http", listens=True),
    "admin": Role("control_plane.admin_app:run_admin", listens=True),
    "worker": Role("control_plane.worker:run_worker", listens=False),
}


@click.command(hidden=True)
@click.argument("role", type=click.Choice(sorted(ROLES)))
@click.option("--fd", type=click.IntRange(0), help="A bound socket, of a role that listens.")
@click.option(
    "--ready-fd",
    type=click.IntRange(0),
    envvar=notice.VARIABLE,
    help="A pipe that wants a line once the process does its work.",
)
def process(role: str, fd: int | None, ready_fd: int | None) -> None:
    """Run one role: at the address of a socket that is inherited, or without a door."""
    played = ROLES[role]
    if played.listens != (fd is not None):
        raise click.UsageError(f"{role} {'needs' if played.listens else 'takes no'} --fd")
    settings = load_settings(os.environ)
    module, _, function = played.run.partition(":")
    run = getattr(importlib.import_module(module), function)
    run(ready_fd if fd is None else Inherited(fd, ready_fd), settings)
