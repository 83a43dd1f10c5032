"""Silero's voice activity detector as an ONNX graph whose batches hold steps of several recordings.

The package's graph for sequences (Silero VAD 6, 16 kHz) takes the windows of one recording. Here
its layers are put together so that the batch comes first everywhere, as Triton wants it: a row
holds some windows, one after the other, of one recording and the recurrent state before them. The
weights and the operators on each window are the package's own.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WINDOWS = 32
"""Windows of a row: 1.024 s. A step of one window would spend its time on the way to the server."""
SAMPLES = 576
"""Of a window: 64 of the window before, as context, and 512 of its own."""
HIDDEN = 128

_LAST_OF_ENCODER = "/Relu_3_output_0"


def graph(package: onnx.ModelProto) -> onnx.ModelProto:
    """Return the detector.

    Inputs are ``WINDOWS``, float32 ``[N, 32, 576]``, and ``STATE``, float32 ``[N, 2, 128]``, zeros
    at the beginning of a recording. Outputs are ``PROBABILITIES``, float32 ``[N, 32]``, and
    ``NEXT_STATE``, the state behind the last window.

    Args:
        package: ``silero_vad_16k_sequence.onnx``.

    Raises:
        ValueError: If the package's graph is not the one that this was written for.
    """
    encoder = _encoder(package)
    lstm = next(node for node in package.graph.node if node.op_type == "LSTM")
    head = next(node for node in package.graph.node if node.input[1:2] == ["output.weight"])
    constants = {
        "flat": np.array([-1, SAMPLES]),
        "rows": np.array([-1, WINDOWS, HIDDEN]),
        "row": np.array([-1, WINDOWS]),
        "one": np.array([1]),
        "halves": np.array([1, 1]),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["WINDOWS", "flat"], ["input"]),
        *encoder,
        # One step of time is left of each window: its features become a row of the sequence.
        node("Reshape", [_LAST_OF_ENCODER, "rows"], ["features"]),
        node("Transpose", ["features"], ["sequence"], perm=[1, 0, 2]),
        node("Transpose", ["STATE"], ["state"], perm=[1, 0, 2]),
        node("Split", ["state", "halves"], ["hidden", "cell"], axis=0),
        node(
            "LSTM",
            ["sequence", *lstm.input[1:4], "", "hidden", "cell"],
            ["states", "next_hidden", "next_cell"],
            hidden_size=HIDDEN,
        ),
        node("Concat", ["next_hidden", "next_cell"], ["next_state"], axis=0),
        node("Transpose", ["next_state"], ["NEXT_STATE"], perm=[1, 0, 2]),
        node("Squeeze", ["states", "one"], ["outputs"]),
        node("Relu", ["outputs"], ["active"]),
        node("Transpose", ["active"], ["channels"], perm=[1, 2, 0]),
        node("Conv", ["channels", *head.input[1:]], ["logits"]),
        node("Sigmoid", ["logits"], ["sigmoid"]),
        node("Reshape", ["sigmoid", "row"], ["PROBABILITIES"]),
    ]
    used = {name for each in nodes for name in each.input}
    weights = [tensor for tensor in package.graph.initializer if tensor.name in used]
    weights += [
        numpy_helper.from_array(value, name) for name, value in constants.items() if name in used
    ]
    body = helper.make_graph(nodes, "speech", *_tensors(), weights)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", 16)], producer_name="tidegate"
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def _encoder(package: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The package's nodes from the window to its features."""
    nodes = list(package.graph.node)
    names = [node.output[0] for node in nodes]
    if _LAST_OF_ENCODER not in names or package.graph.input[0].name != "input":
        raise ValueError("the package's graph is not that of Silero VAD 6")
    return nodes[: names.index(_LAST_OF_ENCODER) + 1]


def _tensors() -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    def info(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    return (
        [info("WINDOWS", WINDOWS, SAMPLES), info("STATE", 2, HIDDEN)],
        [info("PROBABILITIES", WINDOWS), info("NEXT_STATE", 2, HIDDEN)],
    )
