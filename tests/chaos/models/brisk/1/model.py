"""Doubles numbers and adds one; a batch takes as long as its slowest item asks for."""

from __future__ import annotations

import time
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The answer follows from the input alone, so that who runs it twice gets the same."""

    def execute(self, requests: list[Any]) -> list[Any]:
        waits = [self._input(request, "MS").max() for request in requests]
        time.sleep(float(max(waits)) / 1000)
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        doubled = self._input(request, "N") * 2 + 1
        return pb_utils.InferenceResponse([pb_utils.Tensor("DOUBLED", doubled)])

    @staticmethod
    def _input(request: Any, name: str) -> Any:
        return pb_utils.get_input_tensor_by_name(request, name).as_numpy()
