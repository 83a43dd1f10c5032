"""``tidegate keys``: API keys of tenants and of the operators."""

from __future__ import annotations

import time
from typing import Any

import click

from control_plane.admission.identity.apikeys import mint as mint_key
from control_plane.cli import tables
from control_plane.cli.operators import Api, Record, connected
from control_plane.cli.options import as_json, revision

DAY_S = 86_400
_COLUMNS = {"id": "ID", "state": "STATE", "scopes": "SCOPES", "expires_at": "EXPIRES",
            "last_used_at": "LAST USED", "created_at": "MADE", "name": "NAME"}  # fmt: skip


@click.group()
def keys() -> None:
    """List, make, rotate and revoke API keys, over the operators' API.

    The tenant `operators` owns the keys of the operators' API itself.

    \b
    tidegate keys create acme --name laptop --scope predict:sentiment
    tidegate keys create operators --name auditor --scope admin:audit:read
    tidegate keys rotate abcdefghij27 --overlap 3600
    """  # noqa: D301 (\b is click's mark for a block)


@keys.command(name="list")
@click.argument("tenant")
@connected
@as_json
def list_keys(api: Api, tenant: str, *, json: bool) -> None:
    """List the keys of a tenant, revoked ones too."""
    found = list(api.pages("tenants", tenant, "keys"))
    tables.document(found) if json else tables.rows(found, _COLUMNS)


@keys.command()
@click.argument("key")
@connected
@as_json
def show(api: Api, key: str, *, json: bool) -> None:
    """Show a key by its id: the 12 characters after `tg_live_`. Never its secret."""
    _print(api.call("GET", "keys", key), json=json)


@keys.command()
@click.argument("tenant")
@click.option("--name", default="", help="For people.")
@click.option(
    "--scope", "scopes", multiple=True,
    help="What it may do, such as `predict`, `predict:wine-*` or, for operators, "
    "`admin:tenants:read`; repeatable. A tenant's key has `predict` if none is given.",
)  # fmt: skip
@click.option("--network", "networks", multiple=True, help="Where from (CIDR); repeatable.")
@click.option("--expires-in", type=click.IntRange(1, 36_500), metavar="DAYS", help="Its life.")
@connected
@as_json
def create(
    api: Api,
    tenant: str,
    name: str,
    scopes: tuple[str, ...],
    networks: tuple[str, ...],
    expires_in: int | None,
    *,
    json: bool,
) -> None:
    """Make a key. It is shown this once: only a hash of it is kept."""
    body: dict[str, Any] = {"name": name, "networks": list(networks)}
    if scopes:
        body["scopes"] = list(scopes)
    if expires_in is not None:
        body["expires_at"] = int(time.time()) + expires_in * DAY_S
    _print_secret(api.call("POST", "tenants", tenant, "keys", body=body), json=json)


@keys.command()
@click.argument("key")
@click.option(
    "--overlap", type=click.IntRange(0, 7 * DAY_S), default=DAY_S, show_default=True,
    metavar="SECONDS", help="How long the secret so far stays valid.",
)  # fmt: skip
@revision
@connected
@as_json
def rotate(api: Api, key: str, overlap: int, *, revision: int | None, json: bool) -> None:
    """Give a key another secret, which is shown this once; its id stays."""
    body = {"overlap_s": overlap}
    shown = api.call("POST", "keys", key, "rotate", body=body, revision=revision)
    _print_secret(shown, json=json)


@keys.command()
@click.argument("key")
@revision
@connected
@as_json
def revoke(api: Api, key: str, *, revision: int | None, json: bool) -> None:
    """Revoke a key, for good: everywhere within a second."""
    _print(api.call("DELETE", "keys", key, revision=revision), json=json)


@keys.command()
def mint() -> None:
    """Print a fresh key for TIDEGATE_BOOTSTRAP_ADMIN_KEY; calls nothing, keeps nothing."""
    click.echo(mint_key()[0])


def _print(key: Record, *, json: bool) -> None:
    tables.document(key) if json else tables.fields(key)


def _print_secret(shown: Record, *, json: bool) -> None:
    if json:
        tables.document(shown)
        return
    tables.fields(shown["record"])
    click.echo("\nThe key, shown this once:", err=True)
    click.echo(shown["key"])
