"""Answers the length of a text; refuses, breaks or misanswers when the text says so."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Slow enough that requests meet in a batch."""

    def execute(self, requests: list[Any]) -> list[Any]:
        time.sleep(0.05)
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
        texts = [row.decode() for row in rows]
        if "poison" in texts:
            error = pb_utils.TritonError(
                "poison at 10.1.2.3 in /opt/secret/model.py", pb_utils.TritonError.INVALID_ARG
            )
            return pb_utils.InferenceResponse(error=error)
        if "crash" in texts:
            raise RuntimeError("broken at 10.1.2.3 in /opt/secret/model.py")
        lengths = [[float("nan") if text == "nan" else float(len(text))] for text in texts]
        tensor = pb_utils.Tensor("LENGTH", np.array(lengths, np.float32))
        return pb_utils.InferenceResponse([tensor])
