"""The plan of a rollout, its candidates and guards, as one writes them on a command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

MAX_STEPS: Final = 32
MAX_FILE_BYTES: Final = 65_536
_PERCENT: Final = r"[0-9]{1,3}(?:\.[0-9])?"
_STEP: Final = re.compile(
    rf"(?: (?P<weight>{_PERCENT})%?)?"
    rf"(?: shadow (?P<shadow>{_PERCENT})%?)?"
    r"(?: (?P<length>[0-9]{1,7})(?P<unit>[smhd]))?"
    r"(?: (?P<requests>[0-9]{1,10}))?"
)
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
GRAMMAR: Final = (
    "Steps with commas between them, each `[PERCENT] [shadow PERCENT] [LENGTH] [REQUESTS]`: "
    "what the candidate gets, for how long at least (`90s`, `10m`, `2h`, `1d`; by default 10m) and "
    "how many requests it has to answer at least (by default 100)."
)

Step = dict[str, float | int]


def steps(text: str) -> list[Step]:
    """The steps of a plan: ``shadow 100 10m, 1 10m 200, 10, 50 1h, 100``.

    Raises:
        click.UsageError: Naming the first step that is none.
    """
    found = [_step(part) for part in text.split(",")]
    if len(found) > MAX_STEPS:
        raise click.UsageError(f"a plan has at most {MAX_STEPS} steps, not {len(found)}")
    return found


def steps_of_file(path: Path) -> list[Any]:
    """The steps of a YAML or JSON file: a list of steps with the fields of the operators' API.

    Raises:
        click.UsageError: If it is none; the API says what is wrong with a step.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise click.UsageError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        value = YAML(typ="safe", pure=True).load(text.decode())
        json.dumps(value, allow_nan=False)
    except (OSError, ValueError, TypeError, RecursionError, YAMLError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0]
        raise click.UsageError(f"{path} cannot be read as YAML: {first}") from error
    if not isinstance(value, list) or not all(isinstance(step, dict) for step in value):
        raise click.UsageError(f"{path} is no list of steps, such as - {{weight: 1}}")
    return value


def shares(texts: Iterable[str], *, is_bare: bool = False) -> dict[str, float]:
    """Percent by version: ``v2.3.1=10``.

    Args:
        texts: One a version.
        is_bare: True if a version may stand alone, for 0 %.

    Raises:
        click.UsageError: Naming the first that is none, or the version that stands twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        version, sign, percent = text.partition("=")
        if not sign and is_bare:
            percent = "0"
        if not version or not re.fullmatch(_PERCENT, percent.removesuffix("%")):
            raise click.UsageError(f"{text!r} is no VERSION=PERCENT with at most one decimal")
        if version in found:
            raise click.UsageError(f"{version} stands twice")
        found[version] = float(percent.removesuffix("%"))
    return found


def guards(texts: Iterable[str]) -> dict[str, float | None]:
    """Limits by name: ``latency_p99_ratio=1.5``; ``off`` in place of a number switches one off.

    Raises:
        click.UsageError: Naming the first that is none; names and ranges are the API's to check.
    """
    found: dict[str, float | None] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if value != "off" and not _NUMBER.fullmatch(value):
            raise click.UsageError(f"{text!r} is no NAME=NUMBER and no NAME=off")
        found[name] = None if value == "off" else float(value)
    return found


def _step(text: str) -> Step:
    words = " ".join(text.split())
    match = _STEP.fullmatch(f" {words}")
    if match is None or not (match["weight"] or match["shadow"]):
        raise click.UsageError(f"{words!r} is no step. {GRAMMAR}")
    step: Step = {
        name: float(match[name]) for name in ("weight", "shadow") if match[name] is not None
    }
    if match["length"] is not None:
        step["min_duration_s"] = int(match["length"]) * _SECONDS[match["unit"]]
    if match["requests"] is not None:
        step["min_requests"] = int(match["requests"])
    return step
