"""NVIDIA Triton over gRPC, which is the protocol that can cancel.

The generated stub of tritonclient is called without its ``InferenceServerClient``: that converts
every tensor through numpy and costs three times as much of the event loop's time.
"""

from __future__ import annotations

import re
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendFailed,
    BackendRejected,
    BackendTimeout,
    BackendUnreachable,
    InferenceBackend,
    LoadState,
    ModelNotLoaded,
    ModelState,
)
from control_plane.types import (
    Backing,
    InferenceRequest,
    ModelSignature,
    Tensor,
    TensorSignature,
)

MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
_OPTIONS: Final = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
]

MAX_REASON: Final = 2000
"""Characters of a reason; a model's traceback may be far longer."""

_STATES: Final[dict[str, LoadState]] = {
    "READY": "ready",
    "LOADING": "loading",
    "UNLOADING": "unloading",
}
_LEAVING: Final = re.compile(
    r"unload|not ready|not at ready state|stopping|stopped accepting", re.IGNORECASE
)
_TRANSPORT: Final = re.compile(
    r"failed to connect|connection|socket|goaway|recvmsg|broken pipe|endpoint|transport|pings"
    r"|name resolution|dns|no route|unreachable|stream removed|reset by peer",
    re.IGNORECASE,
)
"""What gRPC says of a connection; a model that answers UNAVAILABLE says something else, and must
not take the whole server down."""


class TritonBackend(InferenceBackend):
    """One Triton server.

    Attributes:
        name: Its address, ``host:port``.
    """

    def __init__(self, address: str) -> None:
        """Open a channel; nothing is sent before the first call.

        Args:
            address: gRPC address, ``host:port``.
        """
        self.name = address
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def infer(self, request: InferenceRequest) -> dict[str, Tensor]:
        """See the base class. Triton's own queue gets the same timeout."""
        try:
            reply = await self._stub.ModelInfer(_message(request), timeout=request.timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        return _outputs(reply)

    async def ready_models(self, timeout_s: float) -> frozenset[Backing]:
        """See the base class."""
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(ready=True), timeout=timeout_s
            )
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        return frozenset(Backing(model.name, model.version) for model in index.models)

    async def index(self, timeout_s: float) -> tuple[ModelState, ...]:
        """See the base class."""
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=timeout_s
            )
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        return tuple(
            ModelState(
                Backing(model.name, model.version),
                _STATES.get(model.state, "unavailable"),
                model.reason[:MAX_REASON],
            )
            for model in index.models
            if model.version
        )

    async def load(self, model: str, timeout_s: float) -> None:
        """See the base class. Triton is to run with ``--model-control-mode=explicit``."""
        message = service_pb2.RepositoryModelLoadRequest(model_name=model)
        try:
            await self._stub.RepositoryModelLoad(message, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from error

    async def unload(self, model: str, timeout_s: float) -> None:
        """See the base class. Unloading a step takes down every ensemble that needs it."""
        message = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        message.parameters["unload_dependents"].bool_param = False
        try:
            await self._stub.RepositoryModelUnload(message, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from error

    async def signature(self, backing: Backing, timeout_s: float) -> ModelSignature:
        """See the base class."""
        try:
            metadata = await self._stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=backing.model, version=backing.version),
                timeout=timeout_s,
            )
            config = await self._stub.ModelConfig(
                service_pb2.ModelConfigRequest(name=backing.model, version=backing.version),
                timeout=timeout_s,
            )
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        batched = config.config.max_batch_size > 0
        return ModelSignature(
            inputs=tuple(_signature(tensor, batched=batched) for tensor in metadata.inputs),
            outputs=tuple(_signature(tensor, batched=batched) for tensor in metadata.outputs),
            max_batch_size=config.config.max_batch_size,
        )

    async def close(self) -> None:
        """See the base class."""
        await self._channel.close()


def _signature(tensor: Any, *, batched: bool) -> TensorSignature:
    shape = tuple(tensor.shape)
    return TensorSignature(tensor.name, tensor.datatype, shape[1:] if batched else shape)


def _message(request: InferenceRequest) -> Any:
    message = service_pb2.ModelInferRequest(
        model_name=request.backing.model, model_version=request.backing.version
    )
    for tensor in request.inputs:
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_input_contents.append(tensor.data)
    for name in request.outputs:
        message.outputs.add(name=name)
    message.parameters["timeout"].int64_param = max(1, int(request.timeout_s * 1_000_000))
    return message


def _outputs(reply: Any) -> dict[str, Tensor]:
    if len(reply.raw_output_contents) != len(reply.outputs):
        raise BackendFailed("Triton answered without raw contents")
    return {
        output.name: Tensor(output.name, output.datatype, tuple(output.shape), raw)
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


def _refusal(error: grpc.aio.AioRpcError) -> BackendError:
    """Why a model was not loaded or unloaded: a status code here never speaks of a call."""
    translated = _translate(error)
    if isinstance(translated, BackendUnreachable | BackendTimeout):
        return translated
    return BackendFailed((error.details() or error.code().name)[:MAX_REASON])


def _translate(error: grpc.aio.AioRpcError) -> BackendError:
    """Triton's status codes as the control plane's errors.

    A full queue, a timeout in the queue, a lost connection and a model's own word are all
    UNAVAILABLE: only the text tells them apart.
    """
    text = error.details() or ""
    match error.code():
        case grpc.StatusCode.UNAVAILABLE if "exceeds maximum queue size" in text.lower():
            return BackendBusy(text)
        case grpc.StatusCode.UNAVAILABLE if "timeout expired" in text.lower():
            return BackendTimeout(text)
        case grpc.StatusCode.UNAVAILABLE if _LEAVING.search(text):
            return ModelNotLoaded(text)
        case grpc.StatusCode.UNAVAILABLE if not text or _TRANSPORT.search(text):
            return BackendUnreachable(text)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return BackendTimeout(text)
        case grpc.StatusCode.INVALID_ARGUMENT:
            return BackendRejected(text)
        case grpc.StatusCode.NOT_FOUND:
            return ModelNotLoaded(text)
        case _:
            return BackendFailed(f"{error.code().name}: {text}")
