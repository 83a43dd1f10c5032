"""Adds one; ``behaviour.json`` beside it says what else it does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Slow or broken as it is told."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        self._behaviour = json.loads((folder / "behaviour.json").read_text())
        time.sleep(self._behaviour.get("loads_for_s", 0))
        if "fails_to_load" in self._behaviour:
            raise RuntimeError(self._behaviour["fails_to_load"])

    def execute(self, requests: list[Any]) -> list[Any]:
        if "fails_to_answer" in self._behaviour:
            raise RuntimeError(self._behaviour["fails_to_answer"])
        time.sleep(self._behaviour.get("answers_for_s", 0))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + 1)])
