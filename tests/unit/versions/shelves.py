"""Repositories as they are once they have been read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from control_plane.contracts.repository import read_repository
from control_plane.versions.shelf import Shelf, shelved
from tests.unit.conftest import SOUND

CONFIG = """
backend: "python"
max_batch_size: 8
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ {width} ] }} ]
output [ {{ name: "X" data_type: TYPE_FP32 dims: [ {width} ] }} ]
"""
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
ensemble_scheduling {{ step [ {steps} ] }}
"""


def put(
    root: Path, triton: str, version: str | None = None, number: str = "1", **changes: Any
) -> None:
    """Write a Triton model, public if it has a version; ``steps`` makes it an ensemble."""
    steps, width = changes.pop("steps", ()), changes.pop("width", 1)
    folder = root / triton / number
    folder.mkdir(parents=True)
    text = CONFIG.format(width=width)
    if steps:
        text = ENSEMBLE.format(steps=", ".join(f'{{ model_name: "{name}" }}' for name in steps))
    (root / triton / "config.pbtxt").write_text(text)
    if version is not None:
        document = {**SOUND, "version": version, **changes}
        (folder / "contract.yaml").write_text(json.dumps(document))


def shelf(root: Path) -> Shelf:
    """The repository as it is now."""
    return shelved(read_repository(root), root)
