"""The MiniLM encoder as an ONNX graph made of a published package's weights.

all-MiniLM-L6-v2 is a BERT of six layers (Wang et al., MiniLM, NeurIPS 2020; sentence-transformers).
Its package keeps int8 weights and turns them to float32 at each start, in a graph of 350 nodes.
Here they become float32 once, in a graph of ONNX Runtime's fused transformer operators, which
its CPU and CUDA builds share. Mean pooling and scaling to length one are part of the graph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = 6
MIDDLE = 3
HEADS = 12
WIDTH = 384
EPSILON = 1e-12
"""Of the layer normalisations, as in the published configuration."""

Weights = dict[str, npt.NDArray[np.float32]]


def weights_of(model: onnx.ModelProto) -> Weights:
    """Return the package's weights as float32, named as in BERT's checkpoints.

    A matrix is stored as int8 with scales, ``X_q`` and ``X_scale``. The export names most of them
    ``val_49`` and the like, so a matrix takes its name from the bias that is added to its product.
    """
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    matrices = {
        name.removesuffix("_q"): value.astype(np.float32)
        * stored[name.removesuffix("_q") + "_scale"]
        for name, value in stored.items()
        if name.endswith("_q")
    }
    products = {
        node.output[0]: node.input[1]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in matrices
    }
    weights = {
        n: v
        for n, v in stored.items()
        if n.startswith("inner.") and not n.endswith(("_q", "_scale"))
    }
    weights |= {n: v for n, v in matrices.items() if n.startswith("inner.")}
    for node in model.graph.node:
        if node.op_type == "Add" and node.input[0] in products:
            name = node.input[1].removesuffix("bias") + "weight"
            weights[name] = matrices[products[node.input[0]]]
    return {
        n.removeprefix("inner."): np.ascontiguousarray(v, np.float32) for n, v in weights.items()
    }


def graph(package: onnx.ModelProto) -> onnx.ModelProto:
    """Return the encoder.

    Inputs are ``INPUT_IDS`` and ``ATTENTION_MASK`` (1 where there is a token), int32
    ``[N, tokens]``; the outputs are ``EMBEDDING``, the sentence embedding as published, and
    ``MIDDLE_EMBEDDING``, that of the layer half-way, each float32 ``[N, 384]`` of length one. The
    middle one keeps more of the words themselves, which lifted the sentiment head's accuracy by
    more than a point.

    Args:
        package: The package's graph.
    """
    weights = weights_of(package)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "tokens"])
        for name in ("INPUT_IDS", "ATTENTION_MASK")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("EMBEDDING", "MIDDLE_EMBEDDING")
    ]
    nodes = [_embed()]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "one": np.array([1]),
        **_embed_constants(weights),
    }
    for layer in range(LAYERS):
        nodes += _layer(layer)
        constants |= _layer_constants(weights, layer)
    nodes += [
        helper.make_node("Cast", ["ATTENTION_MASK"], ["present"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["present", "one"], ["row"]),
        *_pool(LAYERS, "EMBEDDING"),
        *_pool(MIDDLE, "MIDDLE_EMBEDDING"),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "minilm_encoder", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(body, opset_imports=opsets, producer_name="tidegate")
    model.ir_version = 8
    return model


def _embed() -> onnx.NodeProto:
    inputs = ["INPUT_IDS", "", "words", "positions", "", "embed_gain", "embed_bias"]
    return helper.make_node(
        "EmbedLayerNormalization",
        inputs,
        ["hidden_0", "unused_mask_index"],
        domain="com.microsoft",
        epsilon=EPSILON,
    )


def _embed_constants(weights: Weights) -> Weights:
    # The operator wants segment ids or no segment table at all; every token is of segment 0, so its
    # row goes into the positions.
    positions = weights["embeddings.position_embeddings.weight"]
    return {
        "words": weights["embeddings.word_embeddings.weight"],
        "positions": positions + weights["embeddings.token_type_embeddings.weight"][0],
        "embed_gain": weights["embeddings.LayerNorm.weight"],
        "embed_bias": weights["embeddings.LayerNorm.bias"],
    }


def _layer(layer: int) -> list[onnx.NodeProto]:
    """One transformer block: ``hidden_<layer>`` to ``hidden_<layer + 1>``."""

    def fused(kind: str, inputs: str, output: str, **attributes: float) -> onnx.NodeProto:
        names = [n if n.startswith(("hidden", "ATT")) else f"{n}_{layer}" for n in inputs.split()]
        return helper.make_node(kind, names, [output], domain="com.microsoft", **attributes)

    def product(left: str, right: str, output: str) -> onnx.NodeProto:
        return helper.make_node(
            "MatMul", [f"{left}_{layer}", f"{right}_{layer}"], [f"{output}_{layer}"]
        )

    hidden = f"hidden_{layer}"
    return [
        fused(
            "Attention",
            f"{hidden} qkv qkv_bias ATTENTION_MASK",
            f"context_{layer}",
            num_heads=HEADS,
        ),
        product("context", "out", "projected"),
        fused(
            "SkipLayerNormalization",
            f"projected {hidden} out_gain out_shift out_bias",
            f"attended_{layer}",
            epsilon=EPSILON,
        ),
        product("attended", "up", "wide"),
        fused("BiasGelu", "wide up_bias", f"active_{layer}"),
        product("active", "down", "narrow"),
        fused(
            "SkipLayerNormalization",
            "narrow attended down_gain down_shift down_bias",
            f"hidden_{layer + 1}",
            epsilon=EPSILON,
        ),
    ]


def _layer_constants(weights: Weights, layer: int) -> Weights:
    prefix = f"encoder.layer.{layer}."
    own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    parts = [f"attention.self.{part}." for part in ("query", "key", "value")]
    constants = {
        "qkv": np.concatenate([own[part + "weight"] for part in parts], axis=1),
        "qkv_bias": np.concatenate([own[part + "bias"] for part in parts]),
        "out": own["attention.output.dense.weight"],
        "out_bias": own["attention.output.dense.bias"],
        "out_gain": own["attention.output.LayerNorm.weight"],
        "out_shift": own["attention.output.LayerNorm.bias"],
        "up": own["intermediate.dense.weight"],
        "up_bias": own["intermediate.dense.bias"],
        "down": own["output.dense.weight"],
        "down_bias": own["output.dense.bias"],
        "down_gain": own["output.LayerNorm.weight"],
        "down_shift": own["output.LayerNorm.bias"],
    }
    return {f"{name}_{layer}": value for name, value in constants.items()}


def _pool(layer: int, output: str) -> list[onnx.NodeProto]:
    """The mean over the tokens, scaled to length one. The scaling makes the sum do for the mean."""
    node = helper.make_node
    return [
        node("MatMul", ["row", f"hidden_{layer}"], [f"sum_{layer}"]),
        node("Squeeze", [f"sum_{layer}", "one"], [f"pooled_{layer}"]),
        node("LpNormalization", [f"pooled_{layer}"], [output], axis=1, p=2),
    ]
