"""How rollouts look on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click

from control_plane.cli import tables
from control_plane.cli.operators import Api, Record, Refused

REDRAW_S: Final = 2.0
NOT_PROMOTED: Final = 3
"""Exit status of a rollout that ended in another way than promoted."""
_SIDES: Final = {"version": "CANDIDATE", "side": "SIDE", "percent": "SUBJECTS %",
                 "requests": "REQUESTS", "failed": "FAILED", "failed_percent": "FAILED %",
                 "p50_ms": "P50 MS", "p99_ms": "P99 MS"}  # fmt: skip
_FINDINGS: Final = {"test": "TEST", "state": "STATE", "candidate": "CANDIDATE",
                    "control": "CONTROL", "e_value": "E-VALUE", "threshold": "ALARM AT",
                    "sentence": "IN WORDS"}  # fmt: skip
_SHADOWS: Final = {"version": "SHADOW", "compared": "COMPARED", "agreement": "AGREEMENT",
                   "shift": "SHIFT", "p50": "P50 RATIO", "p99": "P99 RATIO",
                   "errors": "ERRORS", "dropped": "DROPPED"}  # fmt: skip
_DIFFERENCES: Final = {"seen_at": "AT", "request_id": "REQUEST", "stable": "ANSWER",
                       "shadow": "SHADOW", "distance": "DISTANCE", "error": "ERROR",
                       "inputs": "INPUTS"}  # fmt: skip


def heading(rollout: Record, ended_at: int | None = None) -> str:
    """What is tried, and where it stands: a few lines.

    Args:
        rollout: Running or ended.
        ended_at: Epoch second of its end; None while it runs.
    """
    started = tables.shown("started_at", rollout["started_at"])
    lines = [
        f"{rollout['model']} {rollout['id']}: stable {rollout['stable']}, sticky by "
        f"{rollout['sticky_by']}, started {started} by {rollout['started_by']}"
    ]
    lines += [f"  {_candidate(each)}" for each in rollout["candidates"]]
    if rollout["plan"]:
        lines.append(f"  {_step(rollout, ended_at)}")
    if rollout["paused"]:
        lines.append("  PAUSED: `tidegate rollouts resume` lets it go on")
    return "\n".join(lines)


def status(found: Record) -> str:
    """A rollout that runs: its sides, what the judge says, its shadows."""
    counted = found["counted"]
    if counted is None:
        return heading(found["rollout"]) + "\n\nno counts: the limits server does not answer"
    sides = [row for each in counted["sides"] for row in _sides(each)]
    parts = [heading(found["rollout"]), tables.table(sides, _SIDES)]
    if counted["judgement"] is not None:
        parts.append("\n".join(_verdicts(counted["judgement"])))
    if counted["shadows"]:
        parts.append(_shadows(counted["shadows"]))
    return "\n\n".join(parts)


def ended(found: Record) -> str:
    """A rollout that is over: why, with the numbers."""
    lines = [heading(found["rollout"], found["ended_at"]), _end(found)]
    findings = found["report"].get("findings")
    if findings:
        lines += ["", tables.table(map(_rounded, findings), _FINDINGS)]
    if found.get("shadows"):
        lines += ["", _shadows(found["shadows"])]
    return "\n".join(lines)


def print_differences(items: list[Record]) -> None:
    """Print disagreements, the worst first."""
    shown = [
        {
            **item,
            "seen_at": item["at"],
            "distance": f"{item['distance']:.3f}",
            "inputs": [f"{each['name']}={_value(each)}" for each in item["inputs"]],
        }
        for item in items
    ]
    tables.rows(shown, _DIFFERENCES)


def watched(api: Api, model: str) -> Record:
    """Draw the status again and again until the rollout ends; on no terminal, a line a change.

    Returns:
        The rollout that has ended.
    """
    rollout, before = "", ""
    while True:
        try:
            found = api.call("GET", "models", model, "rollout")
        except Refused as refused:
            if refused.code != "NOT_FOUND" or not rollout:
                raise
            ended_one: Record = api.call("GET", "rollouts", rollout)
            return ended_one
        rollout = found["rollout"]["id"]
        line = _line(found)
        if sys.stdout.isatty():
            click.clear()
            click.echo(status(found))
        elif line != before:
            click.echo(line)
            before = line
        time.sleep(REDRAW_S)


def _end(found: Record) -> str:
    if found["outcome"] is None:
        return "  runs"
    at = tables.shown("ended_at", found["ended_at"])
    undone = ", undone since" if found["undone"] else ""
    reason = f": {found['reason']}" if found["reason"] else ""
    return f"  {found['outcome']} {at} by {found['by']}{undone}{reason}"


def _line(found: Record) -> str:
    rollout, counted = found["rollout"], found["counted"]
    parts = [", ".join(_candidate(each) for each in rollout["candidates"])]
    judgement = None if counted is None else counted["judgement"]
    if judgement is not None:
        parts += [f"{v}: {each['decision']}" for v, each in judgement["verdicts"].items()]
    return "; ".join(parts + ["paused"] * rollout["paused"])


def _candidate(candidate: Record) -> str:
    parts = [f"{candidate['weight']:g} % of the subjects"] if candidate["weight"] else []
    parts += [f"{candidate['shadow']:g} % of the requests in shadow"] if candidate["shadow"] else []
    return f"{candidate['version']}: {' and '.join(parts) or 'nothing'}"


def _step(rollout: Record, ended_at: int | None) -> str:
    step = rollout["plan"][rollout["step"]]
    until = rollout["paused_at"] or ended_at or time.time()
    length = max(0, int(until - rollout["step_since"]))
    attempt = f", attempt {rollout['attempt']}" if rollout["attempt"] > 1 else ""
    return (
        f"step {rollout['step'] + 1} of {len(rollout['plan'])}{attempt}: for {length} s of at "
        f"least {step['min_duration_s']} s, at least {step['min_requests']} requests"
    )


def _sides(sides: Record) -> Iterator[Record]:
    for side in ("candidate", "control"):
        figures = sides[side]
        asked, failed = figures["requests"], figures["failed"]
        yield {
            **figures,
            "version": sides["version"],
            "side": side,
            "percent": f"{figures['percent']:g}",
            "failed_percent": f"{100 * failed / asked:.2f}" if asked else None,
            "p50_ms": _milliseconds(figures["latency_p50_s"]),
            "p99_ms": _milliseconds(figures["latency_p99_s"]),
        }


def _verdicts(judgement: Record) -> Iterator[str]:
    at = tables.shown("judged_at", judgement["at"])
    for version, verdict in judgement["verdicts"].items():
        yield f"judge on {version}, {at}: {verdict['decision']}"
        yield from (f"  {reason}" for reason in verdict["reasons"])


def _shadows(shadows: Record) -> str:
    return tables.table([_shadow(each, of) for each, of in shadows.items()], _SHADOWS)


def _shadow(version: str, report: Record) -> Record:
    agreement, shift, latency = report["agreement"], report["shift"], report["latency"]
    return {
        "version": version,
        "compared": report["compared"],
        "agreement": agreement
        and f"{agreement['value']:.3f} [{agreement['low']:.3f}, {agreement['high']:.3f}]",
        "shift": shift and f"{shift['total_variation']:.3f}",
        "p50": latency and f"{latency['p50']['ratio']:.2f}",
        "p99": latency and f"{latency['p99']['ratio']:.2f}",
        "errors": [f"{code}:{count}" for code, count in report["errors"].items()],
        "dropped": [f"{reason}:{count}" for reason, count in report["dropped"].items()],
    }


def _rounded(finding: Record) -> Record:
    return {
        name: f"{value:.4g}" if isinstance(value, float) else value
        for name, value in finding.items()
    }


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.1f}"


def _value(given: Record) -> Any:
    if "value" in given:
        return given["value"]
    length = "" if given["length"] is None else f" of {given['length']}"
    return f"<{given['type']}{length}>"
