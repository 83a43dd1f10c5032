"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

PORT: Final = click.IntRange(0, 65535)
FOLDER: Final = click.Path(path_type=Path)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

host: Final[Decorator] = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
)
port: Final[Decorator] = click.option(
    "--port", type=PORT, default=8080, show_default=True, metavar="PORT",
    help="Port of the public API; 0 takes a free one.",
)  # fmt: skip
admin_host: Final[Decorator] = click.option(
    "--admin-host", default="127.0.0.1", show_default=True,
    help="Address of the operators' API and /metrics; never one that clients reach.",
)  # fmt: skip
admin_port: Final[Decorator] = click.option(
    "--admin-port", type=PORT, default=9090, show_default=True, metavar="PORT",
    help="Port of the operators' API and /metrics; 0 takes a free one.",
)  # fmt: skip
workers: Final[Decorator] = click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N",
    help="Number of HTTP processes, which share the port.",
)  # fmt: skip
job_workers: Final[Decorator] = click.option(
    "--job-workers", type=click.IntRange(0, 256), default=1, show_default=True, metavar="N",
    help="Number of processes that work on jobs; 0 if they run elsewhere.",
)  # fmt: skip
model_repository: Final[Decorator] = click.option(
    "--model-repository", type=FOLDER, default=Path("model_repository"), show_default=True,
    help="Folder of the models; a version with a contract.yaml is public.",
)  # fmt: skip
as_json: Final[Decorator] = click.option("--json", is_flag=True, help="Print JSON.")
revision: Final[Decorator] = click.option(
    "--revision", type=click.IntRange(1), metavar="N",
    help="Change it only at this revision; otherwise exit with REVISION_CONFLICT.",
)  # fmt: skip
yes: Final[Decorator] = click.option("--yes", is_flag=True, help="Yes, delete it.")
