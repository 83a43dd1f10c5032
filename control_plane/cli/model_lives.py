"""``tidegate models status|refresh|promote|…``: lives of versions, over the operators' API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from control_plane.cli import tables
from control_plane.cli.moments import Moment
from control_plane.cli.operators import Api, Record, Refused, connected
from control_plane.cli.options import as_json, revision
from control_plane.cli.waiting import patiently, wait

_VERSIONS: Final = {"version": "VERSION", "life": "LIFE", "role": "ROLE", "ready_on": "READY",
                    "loaded": "LOADED", "sunset_at": "SUNSET", "accuracy": "ACCURACY",
                    "note": "NOTE"}  # fmt: skip
_MODELS: Final = {"name": "MODEL", "stable": "STABLE", "latest": "LATEST", "rollout": "ROLLOUT",
                  "lives": "VERSIONS"}  # fmt: skip


def _on_version(command: Callable[..., None]) -> Callable[..., None]:
    """A command that acts on VERSION of MODEL, at a stated revision if one is given."""
    for decorate in (
        as_json,
        connected,
        revision,
        click.argument("version"),
        click.argument("model"),
    ):
        command = decorate(command)
    return command


@click.command()
@click.argument("model", required=False)
@connected
@as_json
def status(api: Api, model: str | None, *, json: bool) -> None:
    """Show where the versions of MODEL stand; without one, a line for each model.

    READY says on how many Tritons in reach a version may answer; below the table is why not.
    """
    if model is None:
        found = list(api.pages("models"))
        tables.document(found) if json else tables.rows(map(_summary, found), _MODELS)
        return
    _print(api.call("GET", "models", model), json=json)


@click.command()
@connected
@as_json
def refresh(api: Api, *, json: bool) -> None:
    """Read the model repository again, in every process: added directories need no restart.

    Exit status 1 if a contract has a fault; versions without one are served all the same.
    """
    found = api.call("POST", "repository", "refresh")
    if json:
        tables.document(found)
    else:
        for kind in ("added", "gone"):
            for version in found[kind]:
                click.echo(f"{kind:<8} {version['model']} {version['version']}")
        if not any(found[kind] for kind in ("added", "gone")):
            click.echo(f"nothing changed: {found['versions']} versions")
    for fault in found["faults"]:
        place = f"{fault['file']}:{fault['line']}"
        click.echo(f"{place}: {fault['message']}. {fault['remedy']}", err=True)
    if found["faults"]:
        raise SystemExit(1)


@click.command()
@click.option("--allow-breaking", is_flag=True, help="Even if its contract breaks that of the "
              "stable version; the audit log says so.")  # fmt: skip
@wait
@_on_version
def promote(
    api: Api,
    model: str,
    version: str,
    *,
    allow_breaking: bool,
    wait: int | None,
    revision: int | None,
    json: bool,
) -> None:
    """Make VERSION the stable one: it answers who names no version.

    It must be loaded, its examples answered, and its contract compatible with that of the version
    it replaces: see `tidegate models diff`. With --wait it may become ready meanwhile.
    """

    def attempt() -> Any:
        try:
            return _post(api, model, version, "promote", revision, allow_breaking=allow_breaking)
        except Refused as refused:
            if wait is None or refused.code != "VERSION_NOT_READY":
                raise
            return refused

    found = patiently(attempt, lambda answer: not isinstance(answer, Refused), wait or 0)
    if isinstance(found, Refused):
        raise found
    _print(found, json=json)


@click.command()
@click.option(
    "--sunset",
    type=Moment(),
    required=True,
    metavar="WHEN",
    help="From when on it is retired: `2027-03-31`, `2027-03-31T12:00Z` or `90d`, UTC.",
)
@click.option("--info", default="", metavar="URL", help="Where clients read what to do instead.")
@_on_version
def deprecate(
    api: Api, model: str, version: str, *, sunset: int, info: str, revision: int | None, json: bool
) -> None:
    """Announce the end of VERSION: answers carry Deprecation, Sunset and Link."""  # fmt: skip
    _print(
        _post(api, model, version, "deprecate", revision, sunset_at=sunset, info=info), json=json
    )


@click.command()
@click.option("--yes", is_flag=True, help="Yes, end it.")
@_on_version
def retire(
    api: Api, model: str, version: str, *, yes: bool, revision: int | None, json: bool
) -> None:
    """End VERSION now: who asks for it gets 410, and Triton unloads it."""
    if not yes:
        raise click.UsageError(f"ends {model} {version} for its clients: add --yes")
    _print(_post(api, model, version, "retire", revision), json=json)


@click.command()
@_on_version
def revive(api: Api, model: str, version: str, *, revision: int | None, json: bool) -> None:
    """Take a retired VERSION back, as experimental."""
    _print(_post(api, model, version, "revive", revision), json=json)


@click.command()
@wait
@_on_version
def load(
    api: Api, model: str, version: str, *, wait: int | None, revision: int | None, json: bool
) -> None:
    """Let every Triton load VERSION; with --wait until all in reach have it ready."""
    found = _post(api, model, version, "load", revision)
    if wait is not None:
        found = patiently(
            lambda: api.call("GET", "models", model), lambda now: _is_ready(now, version), wait
        )
    _print(found, json=json)
    if wait is not None and not _is_ready(found, version):
        raise click.ClickException(f"{model} {version} is not ready everywhere after {wait} s")


@click.command()
@_on_version
def unload(api: Api, model: str, version: str, *, revision: int | None, json: bool) -> None:
    """Let every Triton unload VERSION, once nobody waits for an answer of it any more."""
    _print(_post(api, model, version, "unload", revision), json=json)


@click.command()
@click.argument("model")
@click.argument("alias")
@click.argument("version", required=False)
@click.option("--delete", is_flag=True, help="Take the name away.")
@revision
@connected
@as_json
def alias(
    api: Api,
    model: str,
    alias: str,
    version: str | None,
    *,
    delete: bool,
    revision: int | None,
    json: bool,
) -> None:
    """Let ALIAS stand for VERSION, or with --delete for nothing any more.

    `stable`, `latest` and `canary` follow by themselves and are not given.
    """
    if delete == (version is not None):
        raise click.UsageError("name a version, or give --delete")
    path = ("models", model, "aliases", alias)
    if delete:
        _print(api.call("DELETE", *path, revision=revision), json=json)
        return
    _print(api.call("PUT", *path, body={"version": version}, revision=revision), json=json)


def _post(
    api: Api, model: str, version: str, action: str, revision: int | None, **body: Any
) -> Record:
    path = ("models", model, "versions", version, action)
    found: Record = api.call("POST", *path, body=body or None, revision=revision)
    return found


def _is_ready(model: Record, version: str) -> bool:
    """True if every Triton in reach has it ready, and there is one."""
    found = [each for each in model["versions"] if each["version"] == version]
    servers = [s for each in found for s in each["servers"] if s["state"] != "away"]
    return bool(servers) and all(server["state"] == "ready" for server in servers)


def _summary(model: Record) -> Record:
    lives = [f"{version['version']}:{version['life']}" for version in model["versions"]]
    return {**model, "lives": lives}


def _row(model: Record, version: Record) -> Record:
    roles = [name for name in ("stable", "latest", "canary") if model[name] == version["version"]]
    roles += [alias for alias, target in model["aliases"].items() if target == version["version"]]
    states = [server["state"] for server in version["servers"]]
    accuracy = version.get("accuracy")
    return {
        **version,
        "role": roles,
        "ready_on": f"{states.count('ready')}/{len(states) - states.count('away')}",
        "accuracy": accuracy
        and f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}] of "
        f"{accuracy['n']}",
    }


def _print(model: Record, *, json: bool) -> None:
    if json:
        tables.document(model)
        return
    tables.rows([_row(model, version) for version in model["versions"]], _VERSIONS)
    if model["rollout"]:
        click.echo(f"rollout {model['rollout']}: `tidegate rollouts status {model['name']}`")
    for version in model["versions"]:
        for server in version["servers"]:
            if server["state"] != "ready" and (version["loaded"] or server["reasons"]):
                why = "; ".join(server["reasons"]) or "no reason given"
                click.echo(
                    f"{version['version']} is {server['state']} on {server['server']}: {why}"
                )
