"""``tidegate tiers``: limits and prices of classes of tenants."""

from __future__ import annotations

from typing import Any

import click

from control_plane.cli import tables
from control_plane.cli.limits import given, limit_options
from control_plane.cli.operators import Api, Record, connected
from control_plane.cli.options import Decorator, as_json, revision, yes

_COLUMNS = {"name": "NAME", "limits.requests": "REQUESTS", "limits.window_s": "WINDOW_S",
            "limits.burst": "BURST", "limits.concurrency": "CONCURRENCY",
            "limits.month_units": "MONTH_UNITS", "limits.overage": "OVERAGE",
            "title": "TITLE"}  # fmt: skip
_PRICE = click.IntRange(0, 1_000_000_000_000)


def _prices(command: Any) -> Any:
    options: tuple[Decorator, ...] = (
        click.option("--title", help="For people."),
        click.option("--unit-price", type=_PRICE, metavar="MICROS",
                     help="Of a unit within the quota, millionths of the currency."),
        click.option("--overage-unit-price", type=_PRICE, metavar="MICROS",
                     help="Of a unit beyond the quota."),
        click.option("--currency", metavar="CODE", help="ISO 4217, such as EUR."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def tiers() -> None:
    """List, make and change tiers, over the operators' API.

    \b
    tidegate tiers list
    tidegate tiers create trial --requests 60 --burst 20 --concurrency 4 --month-units 1000
    tidegate tiers set trial --month-units none --unit-price 120
    """  # noqa: D301 (\b is click's mark for a block)


@tiers.command(name="list")
@connected
@as_json
def list_tiers(api: Api, *, json: bool) -> None:
    """List the tiers."""
    found = list(api.pages("tiers"))
    tables.document(found) if json else tables.rows(found, _COLUMNS)


@tiers.command()
@click.argument("tier")
@connected
@as_json
def show(api: Api, tier: str, *, json: bool) -> None:
    """Show a tier."""
    _print(api.call("GET", "tiers", tier), json=json)


@tiers.command()
@click.argument("tier")
@limit_options(of_tenant=False)
@_prices
@connected
@as_json
def create(api: Api, tier: str, *, json: bool, **options: Any) -> None:
    """Make a tier: --requests, --burst and --concurrency are needed."""
    body = {"name": tier, **_changes(options)}
    _print(api.call("POST", "tiers", body=body), json=json)


@tiers.command(name="set")
@click.argument("tier")
@limit_options(of_tenant=False)
@_prices
@revision
@connected
@as_json
def set_tier(api: Api, tier: str, *, revision: int | None, json: bool, **options: Any) -> None:
    """Change a tier: what is not named stays as it is."""
    body = _changes(options)
    if not body:
        raise click.UsageError("say what to change; see --help")
    _print(api.call("PATCH", "tiers", tier, body=body, revision=revision), json=json)


@tiers.command()
@click.argument("tier")
@yes
@revision
@connected
def delete(api: Api, tier: str, *, yes: bool, revision: int | None) -> None:
    """Delete a tier that no tenant has."""
    if not yes:
        raise click.UsageError(f"deletes {tier}: add --yes")
    api.call("DELETE", "tiers", tier, revision=revision)
    click.echo(f"deleted {tier}")


def _changes(options: dict[str, Any]) -> Record:
    names = ("title", "unit_price", "overage_unit_price", "currency")
    body: Record = {name: options[name] for name in names if options[name] is not None}
    limits = given(options)
    return body | ({"limits": limits} if limits else {})


def _print(tier: Record, *, json: bool) -> None:
    tables.document(tier) if json else tables.fields(tier)
