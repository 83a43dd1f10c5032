"""``tidegate models build|train|list|check``: the files of a model repository."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from control_plane.contracts.check import disagreements
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import CONTRACT, Reading, read_repository
from control_plane.contracts.source import FaultyContract, Source
from control_plane.contracts.trials import trials
from control_plane.errors import TidegateError
from control_plane.inference.backend import BackendError
from control_plane.inference.model_config import config_faults, read_configs
from control_plane.inference.triton import TritonBackend
from control_plane.local.models import build as build_repository
from control_plane.types import FileFault, InferenceRequest, ModelSignature

TIMEOUT_S = 30.0
TRAINERS = {"sentiment": "train_sentiment.py", "tabular": "train_tabular.py"}

repository_option = click.option(
    "--repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="The model repository.",
)


@click.command()
@repository_option
def build(repository: Path) -> None:
    """Assemble the repository: trained artefacts are in git, the encoder comes from its wheel."""
    build_repository(repository)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("family", type=click.Choice(sorted(TRAINERS)))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@repository_option
def train(family: str, options: tuple[str, ...], repository: Path) -> None:
    """Train a family of models again (for authors).

    Needs the packages of requirements/train.in. OPTIONS go to the trainer; see
    `tidegate models train sentiment -- --help`.
    """
    if find_spec("sklearn") is None:
        raise click.ClickException(
            "scikit-learn is not installed: run "
            ".venv/bin/uv pip install --python .venv/bin/python -r requirements/train.in"
        )
    script = Path("triton") / "builders" / TRAINERS[family]
    if not script.is_file():
        raise click.ClickException(f"{script} is missing: run this in a checkout of Tidegate")
    command = [sys.executable, str(script), "--repository", str(repository), *options]
    raise SystemExit(subprocess.run(command, check=False).returncode)


@click.command(name="list")
@repository_option
def list_models(repository: Path) -> None:
    """List the public versions of the repository."""
    reading = _read(repository)
    rows = [("MODEL", "VERSION", "STATUS", "TRITON", "TITLE")]
    rows += [
        (c.ref.name, str(c.ref.version), c.contract.status, str(c.backing), c.contract.title)
        for c in reading.contracts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[4]]))
    if reading.faults:
        click.echo(f"{len(reading.faults)} fault(s): see `tidegate models check`", err=True)


@click.command()
@repository_option
@click.option(
    "--triton",
    metavar="HOST:PORT",
    help="gRPC address of a Triton that serves the repository: compare with its metadata and run "
    "the contracts' examples through it.",
)
def check(repository: Path, triton: str | None) -> None:
    """Hold contracts against config.pbtxt and, with --triton, against a live Triton.

    Prints file, line, fault and remedy, one line each; exit code 1 if there are any.
    """
    reading = _read(repository)
    configs, faults = read_configs(repository)
    faults += [*reading.faults, *config_faults(configs)]
    for compiled in reading.contracts:
        config = configs.get(compiled.backing.model)
        if config is not None:
            faults += _compared(repository, compiled, config.signature())
    if triton is not None:
        faults += asyncio.run(_live(repository, reading.contracts, triton))
    for fault in sorted(set(faults)):
        click.echo(str(fault))
    if faults:
        raise SystemExit(1)
    checked = "config.pbtxt" + (" and Triton" if triton else "")
    click.echo(f"{len(reading.contracts)} versions, {len(configs)} models: contracts and "
               f"{checked} agree")  # fmt: skip


def _read(repository: Path) -> Reading:
    try:
        return read_repository(repository)
    except FaultyContract as error:
        raise click.ClickException(str(error)) from error


def _compared(
    repository: Path, compiled: CompiledContract, signature: ModelSignature
) -> list[FileFault]:
    name = f"{compiled.backing}/{CONTRACT}"
    source = Source.read(repository / name, name)
    return [
        source.fault(list(found.path), found.message, found.remedy)
        for found in disagreements(compiled, signature)
    ]


async def _live(
    repository: Path, contracts: list[CompiledContract], address: str
) -> list[FileFault]:
    backend = TritonBackend(address)
    faults: list[FileFault] = []
    try:
        for compiled in contracts:
            name = f"{compiled.backing}/{CONTRACT}"
            try:
                signature = await backend.signature(compiled.backing, TIMEOUT_S)
                found = _compared(repository, compiled, signature)
                faults += found or await _examples(backend, compiled, name)
            except BackendError as error:
                message = f"Triton cannot answer for it: {error}"
                faults.append(FileFault(name, 0, message, "See Triton's log"))
    finally:
        await backend.close()
    return faults


async def _examples(
    backend: TritonBackend, compiled: CompiledContract, name: str
) -> list[FileFault]:
    faults = []
    for index, trial in enumerate(trials(compiled)):
        request = InferenceRequest(
            backing=compiled.backing,
            inputs=compiled.codec.join([trial.item]),
            outputs=compiled.codec.outputs,
            timeout_s=TIMEOUT_S,
        )
        try:
            row = compiled.codec.split(await backend.infer(request), 1)[0]
            complaint = str(row) if isinstance(row, TidegateError) else trial.complaint(row)
        except (BackendError, TidegateError) as error:
            complaint = str(error)
        if complaint is not None:
            message = f"example {index} fails: {complaint}"
            faults.append(FileFault(name, 0, message, "Correct the example or the model"))
    return faults
