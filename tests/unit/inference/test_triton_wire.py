"""Triton's messages and status codes, as the control plane reads and writes them."""

from __future__ import annotations

import grpc
import pytest
from tritonclient.grpc import service_pb2

from control_plane.inference import triton
from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendFailed,
    BackendRejected,
    BackendTimeout,
    BackendUnreachable,
    ModelNotLoaded,
)
from control_plane.types import Backing, InferenceRequest, Tensor

Code = grpc.StatusCode


def rpc_error(code: grpc.StatusCode, text: str | None) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text)


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (Code.UNAVAILABLE, "in model 'm', Exceeds maximum queue size", BackendBusy),
        (Code.UNAVAILABLE, "Request timeout expired", BackendTimeout),
        (Code.UNAVAILABLE, "the model is being unloaded", ModelNotLoaded),
        (
            Code.UNAVAILABLE,
            "Request for unknown model: 'm' version 1 is not at ready state",
            ModelNotLoaded,
        ),
        (Code.UNAVAILABLE, "failed to connect to all addresses", BackendUnreachable),
        (Code.UNAVAILABLE, None, BackendUnreachable),
        (Code.UNAVAILABLE, "the budget of this model is spent", BackendFailed),
        (Code.DEADLINE_EXCEEDED, "", BackendTimeout),
        (Code.INVALID_ARGUMENT, "unexpected shape", BackendRejected),
        (Code.NOT_FOUND, "Request for unknown model", ModelNotLoaded),
        (Code.INTERNAL, "onnx runtime error", BackendFailed),
        (Code.UNKNOWN, "", BackendFailed),
        (Code.RESOURCE_EXHAUSTED, "message larger than max", BackendFailed),
    ],
)
def test_a_status_of_triton_is_one_error(
    code: grpc.StatusCode, text: str | None, error: type[BackendError]
) -> None:
    assert type(triton._translate(rpc_error(code, text))) is error


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (Code.INVALID_ARGUMENT, "load failed for model 'm': version 3 is", BackendFailed),
        (Code.INTERNAL, "failed to load 'm', failed to poll", BackendFailed),
        (Code.UNAVAILABLE, "explicit model load / unload is not allowed", BackendFailed),
        (Code.UNAVAILABLE, "failed to connect to all addresses", BackendUnreachable),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", BackendTimeout),
    ],
)
def test_a_model_that_is_not_loaded_or_unloaded_is_a_failure_in_tritons_words(
    code: grpc.StatusCode, text: str, error: type[BackendError]
) -> None:
    refusal = triton._refusal(rpc_error(code, text))
    assert type(refusal) is error
    assert str(refusal) == text


def test_a_reason_is_bounded_and_never_empty() -> None:
    long = rpc_error(Code.INTERNAL, "x" * 100_000)
    assert len(str(triton._refusal(long))) == triton.MAX_REASON
    assert str(triton._refusal(rpc_error(Code.INTERNAL, None))) == "INTERNAL"


def test_a_request_carries_tensors_outputs_and_the_timeout_in_microseconds() -> None:
    tensors = (Tensor("X", "FP32", (2, 3), b"\0" * 24), Tensor("T", "BYTES", (2, 1), b"\0" * 8))
    request = InferenceRequest(Backing("m", "3"), tensors, ("P", "Q"), 0.25)
    message = triton._message(request)
    assert (message.model_name, message.model_version) == ("m", "3")
    assert [(i.name, i.datatype, tuple(i.shape)) for i in message.inputs] == [
        ("X", "FP32", (2, 3)),
        ("T", "BYTES", (2, 1)),
    ]
    assert list(message.raw_input_contents) == [b"\0" * 24, b"\0" * 8]
    assert [output.name for output in message.outputs] == ["P", "Q"]
    assert message.parameters["timeout"].int64_param == 250_000


def test_a_timeout_is_never_zero_which_would_mean_none() -> None:
    request = InferenceRequest(Backing("m", "1"), (), (), 1e-9)
    assert triton._message(request).parameters["timeout"].int64_param == 1


def test_outputs_are_read_by_name() -> None:
    reply = service_pb2.ModelInferResponse()
    reply.outputs.add(name="P", datatype="FP32", shape=[1, 2])
    reply.raw_output_contents.append(b"\0" * 8)
    assert triton._outputs(reply) == {"P": Tensor("P", "FP32", (1, 2), b"\0" * 8)}


def test_an_answer_without_raw_contents_is_the_servers_fault() -> None:
    reply = service_pb2.ModelInferResponse()
    reply.outputs.add(name="P", datatype="FP32", shape=[1, 2])
    with pytest.raises(BackendFailed):
        triton._outputs(reply)


@pytest.mark.parametrize(("batched", "shape"), [(True, (3,)), (False, (-1, 3))])
def test_the_batch_dimension_is_left_out_of_a_signature(
    *, batched: bool, shape: tuple[int, ...]
) -> None:
    tensor = service_pb2.ModelMetadataResponse.TensorMetadata(
        name="X", datatype="FP32", shape=[-1, 3]
    )
    assert triton._signature(tensor, batched=batched).shape == shape
