"""`tidegate worker`: processes that work on jobs, alone."""

from __future__ import annotations

import click

from control_plane.local.working import run_workers


@click.command
@click.option(
    "--job-workers", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N",
    help="Number of processes that work on jobs.",
)  # fmt: skip
def worker(job_workers: int) -> None:
    """Work on jobs, against servers that run elsewhere.

    Settings come from the environment, as those of `tidegate serve`; docs/settings.md has them.
    Nothing is listened on. Ctrl-C or SIGTERM stops: jobs get TIDEGATE_JOBS_GRACE_S to finish, what
    is not finished by then goes to another worker.

    \b
    TIDEGATE_TRITON_URLS=triton:8001 TIDEGATE_REDIS_URL=redis://valkey:6379/0 \\
        tidegate worker --job-workers 2
    """  # noqa: D301 (\b is click's mark for a block)
    run_workers(job_workers)
