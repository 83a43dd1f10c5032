"""Answers the length of a text, but never of the example in its contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Loads, and agrees with its contract in names and shapes."""

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
        texts = [row.decode() for row in rows]
        if "lovely" in texts:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("unknown word"))
        lengths = [[float(len(text))] for text in texts]
        tensor = pb_utils.Tensor("LENGTH", np.array(lengths, np.float32))
        return pb_utils.InferenceResponse([tensor])
