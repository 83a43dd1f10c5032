"""``tidegate jobs``: jobs of any tenant, and those that failed for good."""

from __future__ import annotations

import click

from control_plane.cli import tables
from control_plane.cli.operators import Api, connected
from control_plane.cli.options import as_json

_DEAD = {"id": "JOB", "tenant": "TENANT", "model": "MODEL", "version": "VERSION", "task": "TASK",
         "error_code": "ERROR", "attempts": "ATTEMPTS", "ended_at": "ENDED"}  # fmt: skip


@click.group()
def jobs() -> None:
    """Look after jobs, over the operators' API.

    \b
    tidegate jobs dead
    tidegate jobs show job_…
    tidegate jobs replay job_…
    tidegate jobs cancel job_…
    """  # noqa: D301 (\b is click's mark for a block)


@jobs.command()
@connected
@as_json
def dead(api: Api, *, json: bool) -> None:
    """List jobs that failed at their last attempt and were not tried again, the latest first."""
    found = list(api.pages("jobs", "dead"))
    tables.document(found) if json else tables.rows(found, _DEAD)


@jobs.command()
@click.argument("job", metavar="ID")
@connected
@as_json
def show(api: Api, job: str, *, json: bool) -> None:
    """Show a job, without what it is made of."""
    found = api.call("GET", "jobs", job)
    tables.document(found) if json else tables.fields(found)


@jobs.command()
@click.argument("job", metavar="ID")
@connected
@as_json
def replay(api: Api, job: str, *, json: bool) -> None:
    """Try a failed job again as a further job, which costs nothing; the failed one stays."""
    found = api.call("POST", "jobs", job, "replay")
    tables.document(found) if json else click.echo(
        f"{found['job']['id']} repeats {found['replay_of']}"
    )


@jobs.command()
@click.argument("job", metavar="ID")
@connected
@as_json
def cancel(api: Api, job: str, *, json: bool) -> None:
    """End a job at once, whoever works on it."""
    found = api.call("POST", "jobs", job, "cancel")
    tables.document(found) if json else click.echo(f"{found['id']} is {found['state']}")
