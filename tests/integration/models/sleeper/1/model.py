"""Sleeps as long as it is told and writes down what it did, so that tests see what ran."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

POLL_S = 0.02


class TritonPythonModel:
    """One request at a time, each as long as it says."""

    def initialize(self, args: dict[str, str]) -> None:
        self._journal = Path(args["model_repository"]) / "journal"

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        label = self._input(request, "LABEL").decode()
        self._note("started", label)
        if self._slept(request):
            self._note("ended", label)
        else:
            self._note("cancelled", label)
        tensors = [
            pb_utils.Tensor("VALUE", np.array([[1.0]], np.float32)),
            pb_utils.Tensor("ECHO", np.array([[label.encode()]], np.object_)),
        ]
        return pb_utils.InferenceResponse(tensors)

    def _slept(self, request: Any) -> bool:
        until = time.monotonic() + int(self._input(request, "MS")) / 1000
        poll = bool(self._input(request, "POLL"))
        while (left := until - time.monotonic()) > 0:
            if poll and request.is_cancelled():
                return False
            time.sleep(min(left, POLL_S))
        return True

    def _note(self, event: str, label: str) -> None:
        with self._journal.open("a") as file:
            file.write(f"{event} {label}\n")

    @staticmethod
    def _input(request: Any, name: str) -> Any:
        return pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]
