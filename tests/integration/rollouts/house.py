"""A model repository whose versions are made to behave well or badly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parent / "fickle"
CONTRACT = """
model: {model}
version: {version}
status: {status}
title: Says whether a number is high
anonymous: true
deadline_ms: 3000
inputs:
  required: [x]
  properties:
    x: {{type: number, minimum: 0, maximum: {maximum}}}
examples:
  - {{x: 0.5}}
tensors:
  X: {{from: x, datatype: FP32, shape: [1]}}
answer:
  kind: classification
  tensor: P
  labels: [low, high]
"""


class House:
    """A model repository.

    Attributes:
        repository: Where it is.
    """

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def put(
        self,
        version: str,
        *,
        model: str = "fickle",
        status: str = "experimental",
        maximum: float = 1,
        **behaviour: Any,
    ) -> str:
        """Write a version, as a Triton model of its own whose name is returned.

        Args:
            version: Semantic version.
            model: Public name.
            status: Where its life starts.
            maximum: The largest number that it takes.
            behaviour: See ``fickle/1/model.py``.
        """
        name = f"{model}_{version.replace('.', '_')}"
        folder = self.repository / name
        shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "1" / "behaviour.json").write_text(json.dumps(behaviour))
        text = CONTRACT.format(model=model, version=version, status=status, maximum=maximum)
        (folder / "1" / "contract.yaml").write_text(text)
        return name
