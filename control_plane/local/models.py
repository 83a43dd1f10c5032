"""Assembles the model repository, as `tidegate models build` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from control_plane.local.errors import StartFailed, StartRefused
from control_plane.local.process import die_with_parent

CHECKOUT: Final = Path(__file__).resolve().parents[2]
"""The project's own files beside the Python package: model builders, Triton backends."""
_ASSEMBLE: Final = CHECKOUT / "triton" / "builders" / "assemble.py"


def build(repository: Path) -> None:
    """Put the large artefacts into the model repository; instant when they are there already.

    The script writes its progress to standard error.

    Args:
        repository: The model repository.

    Raises:
        StartRefused: If there is no such folder.
        StartFailed: If the script fails.
    """
    if not repository.is_dir():
        raise StartRefused(
            f"there is no model repository at {repository.absolute()}; "
            "run in the project's folder, or name one with --model-repository"
        )
    if not _ASSEMBLE.exists():
        sys.stderr.write(f"nothing to assemble: {_ASSEMBLE} does not exist\n")
        return
    status = subprocess.run(
        [sys.executable, str(_ASSEMBLE), "--repository", str(repository.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
        preexec_fn=die_with_parent(),
    ).returncode
    if status != 0:
        raise StartFailed(f"the model repository could not be assembled ({_ASSEMBLE}: {status})")
