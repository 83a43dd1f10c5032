"""`tidegate process`: one process of the control plane, started by the supervisor."""

from __future__ import annotations

import importlib
import os

import click

from control_plane.settings import load_settings

ROLES = {
    "http": "control_plane.app:run_http",
    "admin": "control_plane.admin_app:run_admin",
}
"""What serves each role; only that one is imported, to start sooner and stay smaller."""


@click.command(hidden=True)
@click.argument("role", type=click.Choice(sorted(ROLES)))
@click.option("--fd", type=click.IntRange(0), required=True, help="A listening socket.")
def process(role: str, fd: int) -> None:
    """Serve one role on a listening socket that is inherited."""
    module, _, function = ROLES[role].partition(":")
    getattr(importlib.import_module(module), function)(fd, load_settings(os.environ))
