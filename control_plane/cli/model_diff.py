"""``tidegate models diff``: what a version's contract breaks, explained."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from control_plane.cli import tables
from control_plane.cli.operators import Api, Record, operators_api, operators_options
from control_plane.cli.options import as_json
from control_plane.contracts.compatibility.compare import compare
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import read_repository
from control_plane.contracts.source import FaultyContract

BREAKS = 3
"""Exit status if the second version breaks what works with the first."""


@click.command()
@click.argument("model")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--repository", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Compare the files of this model repository, without any server.",
)  # fmt: skip
@operators_options
@as_json
def diff(
    model: str,
    before: str,
    after: str,
    repository: Path | None,
    url: str | None,
    data_dir: Path,
    *,
    json: bool,
) -> None:
    """Explain what breaks for clients of version A if version B takes its place.

    Exit status 0 if nothing does, 3 if something does, 1 if it cannot be said.
    """
    if repository is not None:
        found = _offline(repository, model, before, after)
    else:
        api: Api = operators_api(url, data_dir)
        found = api.call("GET", "models", model, "diff", query={"from": before, "to": after})
    tables.document(found) if json else _print(found)
    if not found["is_compatible"]:
        raise SystemExit(BREAKS)


def _offline(repository: Path, model: str, before: str, after: str) -> Record:
    try:
        contracts = read_repository(repository).contracts
    except FaultyContract as error:
        raise click.ClickException(str(error)) from error
    versions = {c.version: c for c in contracts if c.ref.name == model}

    def version(name: str) -> CompiledContract:
        if name not in versions:
            known = ", ".join(versions) or "none"
            raise click.ClickException(
                f"{repository} has no {model} {name} with a contract free of faults; it has {known}"
            )
        return versions[name]

    found: Record = msgspec.to_builtins(compare(version(before), version(after)))
    return found


def _print(found: Record) -> None:
    for change in found["changes"]:
        kind = "breaks" if change["breaking"] else "adds" if change["adds"] else "changes"
        click.echo(f"{kind:<8} {change['where'] or '/'}\n         {change['what']}")
    breaks = sum(change["breaking"] for change in found["changes"])
    told = f"{breaks} break(s)" if breaks else "compatible"
    numbered = "" if found["is_numbered_well"] else f", {found['after']} is too low"
    click.echo(
        f"{found['model']} {found['before']} -> {found['after']}: {told}; "
        f"calls for {found['calls_for']} or higher{numbered}"
    )
