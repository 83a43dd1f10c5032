"""``tidegate tenants``: customers, their tier, and limits of their own."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli import tables
from control_plane.cli.limits import OF_TIER, given, limit_options
from control_plane.cli.operators import Api, Record, connected
from control_plane.cli.options import as_json, revision, yes

_COLUMNS = {"id": "ID", "tier": "TIER", "suspended": "SUSPENDED", "updated_at": "CHANGED",
            "title": "TITLE"}  # fmt: skip


@click.group()
def tenants() -> None:
    """List, make and change tenants, over the operators' API.

    \b
    tidegate tenants create acme --tier pro --title "Acme Ltd"
    tidegate tenants override acme --burst 1200 --month-units none
    tidegate tenants set acme --suspended
    """  # noqa: D301 (\b is click's mark for a block)


@tenants.command(name="list")
@connected
@as_json
def list_tenants(api: Api, *, json: bool) -> None:
    """List the tenants."""
    found = list(api.pages("tenants"))
    tables.document(found) if json else tables.rows(found, _COLUMNS)


@tenants.command()
@click.argument("tenant")
@connected
@as_json
def show(api: Api, tenant: str, *, json: bool) -> None:
    """Show a tenant with its overrides."""
    _print(api.call("GET", "tenants", tenant), json=json)


@tenants.command()
@click.argument("tenant")
@click.option("--tier", required=True, help="Name of its tier.")
@click.option("--title", default="", help="For people.")
@connected
@as_json
def create(api: Api, tenant: str, tier: str, title: str, *, json: bool) -> None:
    """Make a tenant. The id of a deleted one cannot be used again."""
    body = {"id": tenant, "tier": tier, "title": title}
    _print(api.call("POST", "tenants", body=body), json=json)


@tenants.command(name="set")
@click.argument("tenant")
@click.option("--tier", help="Name of its tier.")
@click.option("--title", help="For people.")
@click.option(
    "--suspended/--active", default=None, help="Whether its calls are refused (403) or admitted."
)
@revision
@connected
@as_json
def set_tenant(api: Api, tenant: str, *, revision: int | None, json: bool, **changes: Any) -> None:
    """Change a tenant: its title or tier, suspended or not."""
    body = {name: value for name, value in changes.items() if value is not None}
    if not body:
        raise click.UsageError("say what to change: --tier, --title, --suspended or --active")
    _print(api.call("PATCH", "tenants", tenant, body=body, revision=revision), json=json)


@tenants.command()
@click.argument("tenant")
@limit_options(of_tenant=True)
@click.option("--clear", is_flag=True, help="Give all limits back to the tier.")
@connected
@as_json
def override(api: Api, tenant: str, *, clear: bool, json: bool, **options: Any) -> None:
    """Set limits of a tenant in place of its tier's; those not named stay as they are.

    `tier` in place of a number gives that limit back to the tier.
    """
    changes = given(options)
    if clear == bool(changes):
        raise click.UsageError("give one limit or more, or --clear")
    if clear:
        _print(api.call("DELETE", "tenants", tenant, "overrides"), json=json)
        return
    before = api.call("GET", "tenants", tenant)
    merged = {**before["overrides"], **changes}
    body = {name: value for name, value in merged.items() if value != OF_TIER}
    after = api.call("PUT", "tenants", tenant, "overrides", body=body, revision=before["revision"])
    _print(after, json=json)


@tenants.command()
@click.argument("tenant")
@yes
@revision
@connected
def delete(api: Api, tenant: str, *, yes: bool, revision: int | None) -> None:
    """Delete a tenant and all its keys, for good; its usage stays."""
    if not yes:
        raise click.UsageError(f"deletes {tenant} and all its keys, for good: add --yes")
    api.call("DELETE", "tenants", tenant, revision=revision)
    click.echo(f"deleted {tenant}")


def _print(tenant: Record, *, json: bool) -> None:
    tables.document(tenant) if json else tables.fields(tenant)
