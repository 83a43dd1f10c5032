"""The `tidegate` command: one file a group; each is imported when it is called.

Only this file imports inside a function: `tidegate --help` must not wait for what it does not run.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import click
from msgspec import Struct


class Lazy(Struct, frozen=True):
    """A command that is imported when it is called.

    Attributes:
        target: ``module:attribute``.
        summary: One line for the list of commands; empty for a command that is not listed.
    """

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group that knows its commands' names and summaries without importing them."""

    def __init__(self, *args: Any, lazy: dict[str, Lazy], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that the help lists."""
        return [name for name, command in self._lazy.items() if command.summary]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        lazy = self._lazy.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 (a slip in the table below)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            names = self.list_commands(ctx)
            formatter.write_dl([(name, self._lazy[name].summary) for name in names])


COMMANDS: Final = {
    "up": Lazy("control_plane.cli.up:up", "Start everything on this machine."),
    "serve": Lazy("control_plane.cli.serve:serve", "Run the control plane alone."),
    "worker": Lazy("control_plane.cli.worker:worker", "Run processes that work on jobs, alone."),
    "triton": Lazy("control_plane.cli.triton:triton", "Run the local Triton alone."),
    "models": Lazy(
        "control_plane.cli.models:models", "Models: their files, and the lives of versions."
    ),
    "rollouts": Lazy("control_plane.cli.rollouts:rollouts", "Try versions on part of the traffic."),
    "jobs": Lazy("control_plane.cli.jobs:jobs", "Jobs of any tenant, and dead letters."),
    "tenants": Lazy("control_plane.cli.tenants:tenants", "Customers, their tier and overrides."),
    "keys": Lazy("control_plane.cli.keys:keys", "API keys of tenants and operators."),
    "tiers": Lazy("control_plane.cli.tiers:tiers", "Limits and prices of classes of tenants."),
    "usage": Lazy("control_plane.cli.usage:usage", "What tenants used and what it costs."),
    "process": Lazy("control_plane.cli.process:process", ""),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="tidegate", message="tidegate %(version)s")
def main() -> None:
    """The production API in front of NVIDIA Triton.

    \b
    tidegate up                 everything on this machine, ready for a first prediction
    tidegate keys create acme   a key for a tenant, over the operators' API
    tidegate COMMAND --help     what a command does and takes
    """  # noqa: D301 (\b is click's mark for a block)
