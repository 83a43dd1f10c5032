"""Takes the defences of jobs out, one by one, in a copy of the tree, and runs the chaos on it.

A run that still finds nothing would say that the defence is not needed, or that the chaos is blunt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tests.chaos.report import Report, say
from tests.stack import CHECKOUT

COPIED: Final = ("control_plane", "tests", "triton", "pyproject.toml")
LIMIT_S: Final = 600.0
JOBS: Final = 200
SECONDS: Final = 14.0
PATIENCE_S: Final = 20.0


class Patch(Struct, frozen=True):
    """A text in a file that is replaced.

    Attributes:
        file: Below the checkout.
        text: Stands in it once.
        other: Takes its place.
    """

    file: str
    text: str
    other: str


class Defence(Struct, frozen=True):
    """What holds the promise.

    Attributes:
        name: For the command line.
        guards: What it does, in words.
        patches: Take it out.
        options: Further ones of the run.
    """

    name: str
    guards: str
    patches: tuple[Patch, ...]
    options: tuple[str, ...] = ()


def _lua(script: str, text: str, other: str) -> tuple[Patch]:
    return (Patch(f"control_plane/jobs/{script}.lua", text, other),)


DEFENCES: Final = (
    Defence("none", "the comparison: nothing is taken out", ()),
    Defence(
        "fence-finish",
        "an end names the fence of its hold",
        _lua("finish", "job and job.fence == ended.fence", "job ~= nil"),
    ),
    Defence(
        "fence-beat",
        "a sign of life names the fence",
        _lua("beat", " and job.fence == beat.fence", ""),
    ),
    Defence(
        "fence-retry",
        "a retry names the fence",
        _lua("retry", "not job or job.fence ~= input.fence", "not job"),
    ),
    Defence(
        "fence-hand-back",
        "what is handed back names the fence",
        _lua("hand_back", " and job.fence == hold.fence", ""),
    ),
    Defence(
        "claim-lease",
        "a claim comes with a lease",
        _lua("claim", "redis.call('ZADD', P .. 'leases', now + input.lease_ms, job.id)", "do end"),
    ),
    Defence(
        "claim-leaves-queue",
        "who is claimed waits no more",
        _lua("claim", "\n  leave(job)\n", "\n"),
    ),
    Defence(
        "renewal",
        "a sign of life renews the lease",
        _lua("beat", "redis.call('ZADD', P .. 'leases', now + input.lease_ms, job.id)", "do end"),
    ),
    Defence(
        "lapse",
        "jobs whose lease has lapsed wait again",
        _lua("sweep", "ipairs(due('leases'))", "ipairs({})"),
    ),
    Defence(
        "expiry",
        "jobs whose time is over are ended",
        _lua("sweep", "local expired = due('expiries')", "local expired = {}"),
    ),
    Defence(
        "delays",
        "what is delayed no longer is put where it can be taken",
        _lua("common", "'LIMIT', 0, most)", "'LIMIT', 0, 0)"),
    ),
    Defence(
        "end-once",
        "only a job that somebody holds is ended by a worker",
        _lua("finish", "if mine and job.place == 'leases' then", "if mine then"),
    ),
    Defence(
        "cancel-open",
        "only a job that has not ended is canceled",
        _lua("cancel", "if job.ended == 0 then", "if true then"),
    ),
    Defence(
        "result",
        "the result is kept in the step that ends the job",
        _lua("finish", "    keep(job, ended)\n", ""),
    ),
    Defence(
        "outbox",
        "the entry that webhooks are made of is written in the step that ends the job",
        _lua("common", "redis.call('XADD', P .. 'outbox',", "local _ = ('"),
    ),
    Defence(
        "pending-count",
        "the end of a job is counted",
        _lua("common", "redis.call('HINCRBY', P .. 'pending', job.tenant, -1) == 0", "false"),
    ),
    Defence(
        "running-count",
        "a job that left its worker is counted",
        _lua("common", "    run(job, -1)\n", ""),
    ),
    Defence(
        "idempotency",
        "requests under one idempotency key make one job",
        _lua("submit", "  if first then\n", "  if false then\n"),
    ),
    Defence(
        "kept-first",
        "a job is kept before it is acknowledged",
        (
            Patch(
                "control_plane/jobs/intake.py",
                "return submission, await asyncio.shield(keeping)",
                "return submission, Submitted(submission.id, replayed=False)",
            ),
        ),
    ),
    Defence(
        "durable",
        "a server of record that forgets is refused",
        (
            Patch(
                "control_plane/jobs/durability.py",
                "    return _judge(await _facts(server), durability)\n",
                "    return None\n",
            ),
        ),
        ("--forgetful",),
    ),
    Defence(
        "outbox-again",
        "an entry of the outbox that a dispatcher left is taken up again",
        (
            Patch(
                "control_plane/webhooks/outbox.py",
                "await self._left() or await self._fresh()",
                "await self._fresh()",
            ),
        ),
    ),
    Defence(
        "delivery-again",
        "a delivery that a dispatcher left is made again",
        (Patch("control_plane/webhooks/claim.lua", "ipairs(lost)", "ipairs({})"),),
    ),
)


def main(folder: Path, triton: str, models: Path, options: Any) -> int:
    """Run each that is named and print a table; how many were not found, or found in vain."""
    known = {defence.name: defence for defence in DEFENCES}
    chosen = [known[name] for name in options.defences or known]
    unseen = 0
    say("| taken out | what it does | found |\n| --- | --- | --- |")
    for defence in chosen:
        found = without(defence, folder / defence.name, triton, models, options.seed)
        unseen += bool(found) != bool(defence.patches)
        told = ", ".join(f"{sort} ({count})" for sort, count in found.items())
        say(f"| `{defence.name}` | {defence.guards} | {told or '**nothing**'} |")
    return unseen


def without(
    defence: Defence, folder: Path, triton: str, models: Path, seed: int
) -> Mapping[str, int]:
    """What a short run finds when a defence is taken out: how often, by its sort.

    Args:
        defence: Which.
        folder: Takes the copy; must not be there.
        triton: Address of a Triton with the models.
        models: Its repository.
        seed: Of the plan.
    """
    copied(defence.patches, folder)
    told = folder / "report.json"
    argv = [
        *(sys.executable, "-m", "tests.chaos", "--seed", str(seed), "--json", str(told)),
        *("--jobs", str(JOBS), "--seconds", str(SECONDS), "--patience", str(PATIENCE_S)),
        *("--triton", triton, "--models", str(models), *defence.options),
    ]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    with (folder / "run.log").open("wb") as log:
        try:
            subprocess.run(argv, cwd=folder, env=env, stdout=log, stderr=log, timeout=LIMIT_S,
                           check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return {f"no end of the run within {LIMIT_S:g} s": 1}
    if not told.exists():
        last = (folder / "run.log").read_text(errors="replace").strip().splitlines()[-1:]
        return {f"the run broke off: {' '.join(last)[:200]}": 1}
    found = msgspec.json.decode(told.read_bytes(), type=Report).findings
    return {sort: len(each) for sort, each in found.items()}


def copied(patches: Sequence[Patch], folder: Path) -> None:
    """Copy the tree, without a defence.

    Raises:
        ValueError: If a text does not stand in its file exactly once.
    """
    folder.mkdir()
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    for patch in patches:
        path = folder / patch.file
        before = path.read_text()
        if before.count(patch.text) != 1:
            raise ValueError(f"{patch.file} has {patch.text!r} not once: the list is out of date")
        path.write_text(before.replace(patch.text, patch.other))
