"""The figures as tables in ``docs/abuse.md``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from control_plane.admission.abuse.rules import RULES
from loadtests.abuse.abusive import ABUSIVE
from loadtests.abuse.normal import NORMAL
from loadtests.abuse.replay import Verdict
from loadtests.abuse.score import Score, of_rule, overall
from loadtests.abuse.traffic import Actor

BEGIN: Final = "<!-- figures: python -m loadtests.abuse -->"
END: Final = "<!-- end of figures -->"


def tables(chosen_on: Sequence[Verdict], held_out: Sequence[Verdict], note: str) -> str:
    """Scores on both seeds; what was found of each kind on the one held out.

    Args:
        chosen_on: Verdicts on the seed on which the thresholds were chosen.
        held_out: Verdicts on another one.
        note: One sentence on how it was run.
    """
    lines = [note, "", "| rule | precision | recall | F1 | found | false | missed |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for rule in RULES:
        meant_for = {actor.name for actor in ABUSIVE if rule in actor.rules}
        lines.append(_score(f"`{rule}`", of_rule(held_out, rule, meant_for)))
    lines.append(_score("**all**", overall(held_out)))
    lines.append(_score("all, seed of the thresholds", overall(chosen_on)))
    lines += ["", "| abusive | found | by | minutes | requests |", "|---|---:|---|---:|---:|"]
    lines += [_kind(actor, held_out, with_time=True) for actor in ABUSIVE]
    lines += ["", "| normal | wrongly found | by |", "|---|---:|---|"]
    lines += [_kind(actor, held_out, with_time=False) for actor in NORMAL]
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put the tables between the marks of a page.

    Raises:
        ValueError: If the page has no marks.
    """
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no marks for the figures")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _score(name: str, score: Score) -> str:
    return (
        f"| {name} | {score.precision:.2f} | {score.recall:.2f} | {score.f1:.2f} "
        f"| {score.true} | {score.false} | {score.missed} |"
    )


def _kind(actor: Actor, verdicts: Sequence[Verdict], *, with_time: bool) -> str:
    mine = [verdict for verdict in verdicts if verdict.actor == actor.name]
    found = [verdict for verdict in mine if verdict.rules]
    rules = ", ".join(f"`{rule}`" for rule in sorted({r for v in found for r in v.rules}))
    cells = [actor.name, f"{len(found)} of {len(mine)}", rules]
    if with_time:
        cells.append(_median([verdict.minutes for verdict in found]))
        cells.append(_median([verdict.requests for verdict in found]))
    return f"| {' | '.join(cells)} |"


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f}" if values else ""
