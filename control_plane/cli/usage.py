"""``tidegate usage``: what tenants used, and what it costs."""

from __future__ import annotations

import click

from control_plane.cli import tables
from control_plane.cli.operators import Api, connected
from control_plane.cli.options import as_json


@click.group()
def usage() -> None:
    """Show and export usage, over the operators' API.

    \b
    tidegate usage show acme
    tidegate usage export --from 2026-11 --to 2026-12 > november.csv
    """  # noqa: D301 (\b is click's mark for a block)


@usage.command()
@click.argument("tenant")
@connected
@as_json
def show(api: Api, tenant: str, *, json: bool) -> None:
    """Show what is left of a tenant's quotas, and what it used this month."""
    found = api.call("GET", "tenants", tenant, "usage")
    tables.document(found) if json else tables.fields(found)


@usage.command()
@click.option("--months", is_flag=True, help="Totals of whole months; without it, by the hour.")
@click.option("--from", "start", metavar="WHEN", help="First hour, day or month, UTC: `2026-11`.")
@click.option("--to", metavar="WHEN", help="Hour, day or month before which it ends.")
@click.option("--tenant", metavar="ID", help="Only of this one.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True,
    help="Form of the lines.",
)  # fmt: skip
@connected
def export(
    api: Api, start: str | None, to: str | None, tenant: str | None, form: str, *, months: bool
) -> None:
    """Write usage and what it costs to standard output, by default of this month."""
    asked = {"from": start, "to": to, "tenant": tenant, "format": form}
    query = {name: value for name, value in asked.items() if value is not None}
    path = ("usage", "months") if months else ("usage",)
    for text in api.texts(*path, query=query):
        click.echo(text, nl=False)
