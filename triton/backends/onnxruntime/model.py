"""A Python-based Triton backend that serves ONNX files where the C++ one is not installed.

`backend: "onnxruntime"` in a config.pbtxt loads it from `<backend-directory>/onnxruntime/`. It
answers like NVIDIA's C++ backend and reads the same configuration, so that one model repository
runs on both.
"""

import json
import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils
from onnx_session import open_session, run_options
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

Array = npt.NDArray[Any]

# Classes of Triton's process, which have no stubs.
InferenceRequest = Any
InferenceResponse = Any
ErrorCode = Any

RETRY_BUDGET_S = 1.0
"""Time for running the requests of a failed batch one by one, in seconds."""

POLL_ABOVE_S = 0.002
"""Cancellation is polled for where a run takes at least this long, in seconds.

A poll is a round trip to Triton's process (70 to 130 µs for each request): several times the run
of a small model, which is better finished for nobody."""


class Item(NamedTuple):
    """A request that is ready to run."""

    place: int
    """Where its response goes in the list that `execute` returns."""
    request: InferenceRequest
    feed: dict[str, Array]
    rows: int
    """Length of the batch dimension; 1 for a model without one."""
    outputs: list[str]
    """The outputs that the client asked for."""


class TritonPythonModel:
    """One instance of one model version: an ONNX Runtime session."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the session.

        Args:
            args: As Triton's Python backend gives them.

        Raises:
            ModelLoadError: The model cannot be served as it is configured.
        """
        config = json.loads(args["model_config"])
        self._session = open_session(
            config,
            args["model_repository"],
            args["model_version"],
            args["model_instance_kind"],
            args["model_instance_device_id"],
        )
        self._run_options = run_options(config)
        self._batched = int(config["max_batch_size"]) > 0
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._strings = {
            tensor["name"] for tensor in config["input"] if tensor["data_type"] == "TYPE_STRING"
        }
        self._run_s = 0.0

    def execute(self, requests: list[InferenceRequest]) -> list[InferenceResponse]:
        """Answers the requests of one dynamic batch, with one run for those of one shape.

        Args:
            requests: `pb_utils.InferenceRequest` objects.

        Returns:
            A `pb_utils.InferenceResponse` for each, in the order of the requests.
        """
        responses: list[InferenceResponse] = [None] * len(requests)
        groups: dict[object, list[Item]] = {}
        poll = self._run_s >= POLL_ABOVE_S
        for index, request in enumerate(requests):
            if poll and request.is_cancelled():
                cancelled = pb_utils.TritonError.CANCELLED
                responses[index] = _failure("cancelled by the client", cancelled)
                continue
            try:
                item = self._read(index, request)
            except UnicodeDecodeError as error:
                responses[index] = _failure(str(error.reason), pb_utils.TritonError.INVALID_ARG)
            else:
                groups.setdefault(self._group(item) if len(requests) > 1 else 0, []).append(item)
        for items in groups.values():
            self._answer(items, responses)
        return responses

    def _read(self, index: int, request: InferenceRequest) -> Item:
        feed: dict[str, Array] = {}
        array = None
        for tensor in request.inputs():
            name, array = tensor.name(), tensor.as_numpy()
            feed[name] = _decoded(name, array) if name in self._strings else array
        rows = len(array) if self._batched and array is not None else 1
        return Item(index, request, feed, rows, list(request.requested_output_names()))

    def _group(self, item: Item) -> object:
        """Returns equal keys for requests that one run can take."""
        if not self._batched:
            return item.place
        feed = item.feed
        return tuple(feed[name].shape[1:] if name in feed else None for name in self._inputs)

    def _answer(self, items: list[Item], responses: list[InferenceResponse]) -> None:
        """Runs the items together; if that fails, one by one while the budget lasts."""
        try:
            answered = self._run(items)
        except Exception as error:  # whatever ONNX Runtime or numpy raises belongs to the client
            if len(items) == 1:
                responses[items[0].place] = _run_failure(error)
            else:
                self._answer_one_by_one(items, responses, error)
            return
        for item, response in zip(items, answered, strict=True):
            responses[item.place] = response

    def _answer_one_by_one(
        self, items: list[Item], responses: list[InferenceResponse], batch_error: Exception
    ) -> None:
        until = time.monotonic() + RETRY_BUDGET_S
        for item in items:
            if time.monotonic() < until:
                self._answer([item], responses)
            else:
                responses[item.place] = _failure(
                    f"the batch failed and the budget to run its requests alone "
                    f"({RETRY_BUDGET_S:g} s) is spent: {batch_error}",
                    pb_utils.TritonError.INTERNAL,
                )

    def _run(self, items: list[Item]) -> list[InferenceResponse]:
        if len(items) == 1:
            names, feed = items[0].outputs, items[0].feed
        else:
            names = list(dict.fromkeys(name for item in items for name in item.outputs))
            feed = {
                name: np.concatenate([item.feed[name] for item in items]) for name in items[0].feed
            }
        start = time.perf_counter()
        arrays = self._session.run(names, feed, self._run_options)
        self._run_s += 0.1 * (time.perf_counter() - start - self._run_s)
        outputs = dict(zip(names, arrays, strict=True))
        if self._batched:
            _check_rows(outputs, sum(item.rows for item in items))
        return _split(items, outputs)


def _split(items: list[Item], outputs: dict[str, Array]) -> list[InferenceResponse]:
    """Gives each item its rows of the outputs, as views."""
    if len(items) == 1:
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items()]
        return [pb_utils.InferenceResponse(tensors)]
    responses, start = [], 0
    for item in items:
        stop = start + item.rows
        tensors = [pb_utils.Tensor(name, outputs[name][start:stop]) for name in item.outputs]
        responses.append(pb_utils.InferenceResponse(tensors))
        start = stop
    return responses


def _check_rows(outputs: dict[str, Array], rows: int) -> None:
    # A model that drops or adds rows would hand one client the answer of another.
    for name, array in outputs.items():
        if array.shape[0] != rows:
            raise ValueError(f"output {name!r} has {array.shape[0]} rows for a batch of {rows}")


def _decoded(name: str, array: Array) -> Array:
    """Decodes a BYTES tensor, because ONNX Runtime reads bytes as the text "b'…'".

    Raises:
        UnicodeDecodeError: An element is not UTF-8; its `reason` is the message for the client.
    """
    texts = np.empty(array.size, dtype=np.object_)
    for index, element in enumerate(array.ravel().tolist()):
        try:
            texts[index] = element.decode()
        except UnicodeDecodeError as error:
            error.reason = (
                f"input {name!r}, element {index}: expected UTF-8 text, got byte "
                f"0x{element[error.start]:02x} at position {error.start}"
            )
            raise
    return texts.reshape(array.shape)


def _run_failure(error: Exception) -> InferenceResponse:
    invalid = isinstance(error, InvalidArgument)
    codes = pb_utils.TritonError
    return _failure(str(error), codes.INVALID_ARG if invalid else codes.INTERNAL)


def _failure(message: str, code: ErrorCode) -> InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
