"""Classifiers over sentence embeddings, and their ONNX graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from metrics import Floats, Integers, softmax
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

MEMBERS = 4
HIDDEN = 128
EPOCHS = 8
WEIGHT_DECAY = 1.0
LEAST_SPREAD = 1e-3
BATCH = 256
MAX_DIFFERENCE = 1e-5
"""Largest difference of a probability between the ONNX file and the trained head."""

Layer = tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Head:
    """Layers with rectified units between them.

    Attributes:
        layers: Weights float16 ``[inputs, outputs]`` and bias float32 ``[outputs]`` of each.
    """

    layers: tuple[Layer, ...]

    def logits(self, embeddings: Floats) -> Floats:
        """Return logits ``[N, 3]`` of embeddings ``[N, width]``."""
        *inner, (last, last_bias) = self.layers
        values = embeddings.astype(np.float64)
        for weights, bias in inner:
            values = np.maximum(values @ weights.astype(np.float64) + bias, 0.0)
        return np.asarray(values @ last.astype(np.float64) + last_bias)

    def tempered(self, temperature: float) -> Head:
        """Return the head whose logits are divided by ``temperature``."""
        *inner, (weights, bias) = self.layers
        return Head((*inner, _layer(weights.astype(np.float64) / temperature, bias / temperature)))


def train_network(embeddings: Floats, labels: Integers) -> Head:
    """Fit :data:`MEMBERS` networks, seeded 0, 1, …, and join them.

    The mean of the logits of networks with one hidden layer is one network with all their units.

    Args:
        embeddings: ``[N, width]``.
        labels: ``[N]``.
    """
    mean, spread = _centre(embeddings)
    scaled = (embeddings - mean) / spread
    members = [
        MLPClassifier(
            (HIDDEN,), alpha=WEIGHT_DECAY, batch_size=BATCH, max_iter=EPOCHS, random_state=seed
        ).fit(scaled, labels)
        for seed in range(MEMBERS)
    ]
    hidden = np.concatenate([m.coefs_[0] for m in members], axis=1) / spread[:, None]
    hidden_bias = np.concatenate([m.intercepts_[0] for m in members]) - mean @ hidden
    output = np.concatenate([m.coefs_[1] for m in members]) / MEMBERS
    output_bias = np.mean([m.intercepts_[1] for m in members], axis=0)
    return Head((_layer(hidden, hidden_bias), _layer(output, output_bias)))


def train_linear(embeddings: Floats, labels: Integers) -> Head:
    """Fit a logistic regression on embeddings ``[N, width]`` and labels ``[N]``."""
    mean, spread = _centre(embeddings)
    model = LogisticRegression(C=0.01, max_iter=500).fit((embeddings - mean) / spread, labels)
    weights = model.coef_.T / spread[:, None]
    return Head((_layer(weights, model.intercept_ - mean @ weights),))


def write(
    head: Head, name: str, path: Path, embeddings: Floats, inputs: tuple[str, ...] = ("EMBEDDING",)
) -> None:
    """Write the head's ONNX file.

    Args:
        head: What to write.
        name: Of the graph.
        path: The file.
        embeddings: ``[N, width]``, to try the file with.
        inputs: Names of the inputs, which share the width evenly.

    Raises:
        RuntimeError: The file's probabilities differ from the head's by more than
            :data:`MAX_DIFFERENCE`.
    """
    serialised = _graph(head, name, inputs).SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(serialised, providers=["CPUExecutionProvider"])
    parts = np.split(embeddings.astype(np.float32), len(inputs), axis=1)
    answers = session.run(None, dict(zip(inputs, parts, strict=True)))[0]
    difference = float(np.abs(answers - softmax(head.logits(embeddings))).max())
    if difference > MAX_DIFFERENCE:
        raise RuntimeError(
            f"{path} differs from the head by {difference}, at most {MAX_DIFFERENCE}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(serialised)
    print(f"{name}: {len(serialised)} bytes, ONNX within {difference:.1e}", flush=True)


def _centre(embeddings: Floats) -> tuple[Floats, Floats]:
    """Return mean and spread of each dimension. One that hardly varies is not blown up."""
    return embeddings.mean(axis=0), np.maximum(embeddings.std(axis=0), LEAST_SPREAD)


def _layer(weights: Floats, bias: Floats) -> Layer:
    return weights.astype(np.float16), bias.astype(np.float32)


def _graph(head: Head, name: str, inputs: tuple[str, ...]) -> onnx.ModelProto:
    """Return the graph: float32 ``[N, width / inputs]`` each to ``PROBABILITIES`` ``[N, 3]``."""
    node = helper.make_node
    nodes = [node("Concat", list(inputs), ["values_0"], axis=1)]
    arrays: dict[str, npt.NDArray[Any]] = {}
    for i, (weights, bias) in enumerate(head.layers):
        arrays |= {f"weights_{i}": weights, f"bias_{i}": bias}
        nodes += [
            node("Cast", [f"weights_{i}"], [f"matrix_{i}"], to=TensorProto.FLOAT),
            node("Gemm", [f"values_{i}", f"matrix_{i}", f"bias_{i}"], [f"sums_{i}"]),
        ]
        last = i + 1 == len(head.layers)
        activation = ("Softmax", "PROBABILITIES") if last else ("Relu", f"values_{i + 1}")
        nodes.append(node(activation[0], [f"sums_{i}"], [activation[1]]))
    width = head.layers[0][0].shape[0] // len(inputs)
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(i, TensorProto.FLOAT, ["batch", width]) for i in inputs],
        [helper.make_tensor_value_info("PROBABILITIES", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(array, key) for key, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="tidegate")
    model.ir_version = 8
    return model
