"""The `tidegate` command, and the one place that turns a failure into lines and a status."""

from __future__ import annotations

import signal
import sys

import click

from control_plane import cli
from control_plane.environment import InvalidSettings
from control_plane.local.errors import LocalError


def main() -> None:
    """Run the command and exit: 0 done or stopped on request, 1 failed, 2 refused."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = cli.main(prog_name="tidegate", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = error.exit_code
    except click.ClickException as error:
        status = _fail([error.format_message()], error.exit_code)
    except LocalError as error:
        status = _fail([str(error)], error.exit_code)
    except InvalidSettings as error:
        status = _fail(error.problems, 2)
    except OSError as error:
        status = _fail([f"the system refused: {str(error)[:300]}"], 1)
    except (click.Abort, KeyboardInterrupt):
        status = 0
    sys.exit(status)


def _fail(lines: list[str], status: int) -> int:
    for line in lines:
        click.echo(f"tidegate: {line}", err=True)
    return status


if __name__ == "__main__":
    main()
