"""``tidegate rollouts``: versions that are tried on a part of the traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from control_plane.cli import plan as plans
from control_plane.cli import rollout_views, tables
from control_plane.cli.operators import Api, Record, connected
from control_plane.cli.options import Decorator, as_json, revision

reason: Decorator = click.option("--reason", default="", help="A sentence for the report.")
_ENDED = {"id": "ROLLOUT", "outcome": "OUTCOME", "candidates": "CANDIDATES", "ended_at": "ENDED",
          "by": "BY", "undone": "UNDONE", "reason": "REASON"}  # fmt: skip


@click.group()
def rollouts() -> None:
    """Try versions on a part of the traffic, over the operators' API.

    \b
    tidegate rollouts start sentiment --candidate v3.0.0 --plan "shadow 100 10m, 1 10m 200, 10, 50"
    tidegate rollouts start sentiment --candidate v2.4.0=50 --sticky-by header:x-session
    tidegate rollouts status sentiment --watch
    tidegate rollouts undo ro_…
    """  # noqa: D301 (\b is click's mark for a block)


@rollouts.command()
@click.argument("model")
@click.option("--candidate", "candidates", multiple=True, metavar="VERSION[=PERCENT]",
              help="What is tried, on how many percent of the subjects; with a plan without "
              "percent. Repeatable.")  # fmt: skip
@click.option("--shadow", "shadows", multiple=True, metavar="VERSION=PERCENT",
              help="What sees so many percent of the requests beside the version that answers; "
              "repeatable.")  # fmt: skip
@click.option("--sticky-by", default="tenant", show_default=True, metavar="SUBJECT",
              help="Who always gets the same side: `tenant`, `key`, `header:NAME` or "
              "`field:INPUT`.")  # fmt: skip
@click.option("--plan", metavar="STEPS", help=plans.GRAMMAR)
@click.option(
    "--plan-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same as YAML: a list of {weight, shadow, min_duration_s, min_requests}.",
)
@click.option(
    "--guard",
    "guards",
    multiple=True,
    metavar="NAME=NUMBER",
    help="How much worse than the control a candidate may be, such as "
    "latency_p99_ratio=1.5; NAME=off switches one off. Repeatable; see docs/judge.md.",
)
@click.option("--unjudged", is_flag=True, help="No guards: nothing is decided by itself.")
@click.option("--public", is_flag=True, help="Let clients see it in the catalogue.")
@click.option(
    "--keep-input",
    "keep_inputs",
    multiple=True,
    metavar="INPUT",
    help="An input whose value a stored difference shows, encrypted; repeatable.",
)
@click.option(
    "--allow-breaking", is_flag=True, help="Even if the contract breaks that of the stable version."
)
@click.option("--again", is_flag=True, help="Even if the version was rolled back before.")
@revision
@connected
@as_json
def start(api: Api, model: str, *, revision: int | None, json: bool, **options: Any) -> None:
    """Start a rollout of MODEL; it is in force on all processes within a second."""  # fmt: skip
    body = _body(**options)
    found = api.call("POST", "models", model, "rollout", body=body, revision=revision)
    tables.document(found) if json else click.echo(rollout_views.heading(found))


@rollouts.command()
@click.argument("model")
@click.option("--watch", is_flag=True, help="Look again every 2 s until it ends.")
@connected
@as_json
def status(api: Api, model: str, *, watch: bool, json: bool) -> None:
    """Show the running rollout of MODEL: step, sides, shadows, and what the judge says.

    With --watch the exit status is 0 if it ends promoted, 3 if it ends in another way.
    """
    if not watch:
        found = api.call("GET", "models", model, "rollout")
        tables.document(found) if json else click.echo(rollout_views.status(found))
        return
    if json:
        raise click.UsageError("--watch draws for people: leave --json out")
    ended = rollout_views.watched(api, model)
    click.echo(rollout_views.ended(ended))
    if ended["outcome"] != "promoted":
        raise SystemExit(rollout_views.NOT_PROMOTED)


@rollouts.command()
@click.argument("model")
@click.argument("shares", nargs=-1, required=True, metavar="VERSION=PERCENT…")
@revision
@connected
@as_json
def weights(
    api: Api, model: str, shares: tuple[str, ...], *, revision: int | None, json: bool
) -> None:
    """Change weights of a rollout that has no plan; those not named stay as they are."""
    body = {"weights": plans.shares(shares)}
    found = api.call("PATCH", "models", model, "rollout", body=body, revision=revision)
    tables.document(found) if json else click.echo(rollout_views.heading(found))


@rollouts.command()
@click.argument("model")
@revision
@connected
@as_json
def pause(api: Api, model: str, *, revision: int | None, json: bool) -> None:
    """Stay at the step, whatever the judge says."""
    _act(api, model, "pause", revision, json=json)


@rollouts.command()
@click.argument("model")
@revision
@connected
@as_json
def resume(api: Api, model: str, *, revision: int | None, json: bool) -> None:
    """Go on after a pause, which does not count for the length of the step."""
    _act(api, model, "resume", revision, json=json)


@rollouts.command()
@click.argument("model")
@click.option("--version", help="Which candidate, if there are several.")
@reason
@revision
@connected
@as_json
def promote(
    api: Api, model: str, version: str | None, reason: str, *, revision: int | None, json: bool
) -> None:
    """Make the candidate the stable version now, whatever the step."""
    body = {"version": version, "reason": reason}
    _finish(api, model, "promote", body, revision, json=json)


@rollouts.command()
@click.argument("model")
@reason
@revision
@connected
@as_json
def abort(api: Api, model: str, reason: str, *, revision: int | None, json: bool) -> None:
    """End the rollout: everybody gets the stable version."""
    _finish(api, model, "abort", {"reason": reason}, revision, json=json)


@rollouts.command()
@click.argument("rollout", metavar="ID")
@connected
@as_json
def undo(api: Api, rollout: str, *, json: bool) -> None:
    """Take up a rollout again that was rolled back, or take a promotion back."""
    found = api.call("POST", "rollouts", rollout, "undo")
    tables.document(found) if json else click.echo(rollout_views.ended(found))


@rollouts.command()
@click.argument("rollout", metavar="ID|MODEL")
@connected
@as_json
def report(api: Api, rollout: str, *, json: bool) -> None:
    """Say how a rollout ended and why, with the numbers; of MODEL the one that ended last."""
    is_id = rollout.startswith("ro_")
    found = api.call("GET", "rollouts", rollout) if is_id else _latest(api, rollout)
    tables.document(found) if json else click.echo(rollout_views.ended(found))


@rollouts.command()
@click.argument("rollout", metavar="ID")
@click.argument("version")
@click.option(
    "--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many."
)
@connected
@as_json
def differences(api: Api, rollout: str, version: str, *, limit: int, json: bool) -> None:
    """Show the worst disagreements between the answers and the shadow of VERSION."""  # fmt: skip
    path = ("rollouts", rollout, "shadow", version, "differences")
    found = api.call("GET", *path, query={"limit": str(limit)})
    tables.document(found) if json else rollout_views.print_differences(found["items"])


@rollouts.command(name="list")
@click.argument("model")
@connected
@as_json
def list_rollouts(api: Api, model: str, *, json: bool) -> None:
    """List the rollouts of MODEL that have ended, in the order in which they were started."""
    found = list(api.pages("rollouts", query={"model": model}))
    if json:
        tables.document(found)
        return
    names = [[each["version"] for each in item["rollout"]["candidates"]] for item in found]
    listed = [{**item, "candidates": own} for item, own in zip(found, names, strict=True)]
    tables.rows(listed, _ENDED)


def _act(api: Api, model: str, action: str, revision: int | None, *, json: bool) -> None:
    found = api.call("POST", "models", model, "rollout", action, revision=revision)
    tables.document(found) if json else click.echo(rollout_views.heading(found))


def _finish(
    api: Api, model: str, action: str, body: Record, revision: int | None, *, json: bool
) -> None:
    path = ("models", model, "rollout", action)
    found = api.call("POST", *path, body=body, revision=revision)
    tables.document(found) if json else click.echo(rollout_views.ended(found))


def _latest(api: Api, model: str) -> Record:
    """The report of the rollout of a model that ended last."""
    found = list(api.pages("rollouts", query={"model": model}))
    if not found:
        raise click.ClickException(f"no rollout of {model} has ended yet")
    last = max(found, key=lambda ended: (ended["ended_at"], ended["id"]))
    report: Record = api.call("GET", "rollouts", last["id"])
    return report


def _body(
    candidates: tuple[str, ...],
    shadows: tuple[str, ...],
    guards: tuple[str, ...],
    plan: str | None,
    plan_file: Path | None,
    *,
    unjudged: bool,
    **rest: Any,
) -> Record:
    """A rollout as the API takes it."""
    if plan is not None and plan_file is not None:
        raise click.UsageError("give --plan or --plan-file, not both")
    if unjudged and guards:
        raise click.UsageError("give --guard or --unjudged, not both")
    weighted, shadowed = plans.shares(candidates, is_bare=True), plans.shares(shadows)
    if not weighted and not shadowed:
        raise click.UsageError("name what is tried: --candidate or --shadow")
    body: Record = {
        "candidates": [
            {"version": version, "weight": weighted.get(version, 0.0),
             "shadow": shadowed.get(version, 0.0)}
            for version in dict.fromkeys([*weighted, *shadowed])
        ],
        **{name: list(value) if isinstance(value, tuple) else value
           for name, value in rest.items()},
    }  # fmt: skip
    if plan is not None or plan_file is not None:
        body["plan"] = plans.steps(plan) if plan is not None else _steps(plan_file)
    if unjudged:
        body["guards"] = None
    elif guards:
        body["guards"] = plans.guards(guards)
    return body


def _steps(path: Path | None) -> list[Any]:
    return [] if path is None else plans.steps_of_file(path)
