"""Says whether a number is high; fails on some numbers, takes its time or errs, as it is told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Behaves as ``behaviour.json`` beside it says: shares ``fails`` and ``errs``, ``delay_s``.

    A file ``broken`` beside it breaks it while it is loaded.
    """

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        told = json.loads((folder / "behaviour.json").read_text())
        self._fails, self._errs = told.get("fails", 0.0), told.get("errs", 0.0)
        self._delay_s = told.get("delay_s", 0.0)
        self._broken = folder / "broken"

    def execute(self, requests: list[Any]) -> list[Any]:
        if self._delay_s:
            time.sleep(self._delay_s)
        if self._broken.exists():
            raise RuntimeError("this model has broken since it was loaded")
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        numbers = pb_utils.get_input_tensor_by_name(request, "X").as_numpy().ravel()
        chance = np.modf(numbers * 997.0)[0]
        if (chance < self._fails).any():
            error = pb_utils.TritonError("this number is too much for me")
            return pb_utils.InferenceResponse(error=error)
        high = 1 / (1 + np.exp(-(numbers - 0.5) * 8))
        high = np.where(chance < self._errs, 1 - high, high)
        output = np.stack([1 - high, high], axis=1).astype(np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("P", output)])
