"""A contract held against what Triton has loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control_plane.contracts.check import disagreements
from control_plane.contracts.compiler import CompiledContract
from control_plane.types import ModelSignature, TensorSignature

Compile = Callable[..., CompiledContract]
LABELS = {"kind": "classification", "tensor": "P", "labels": ["a", "b"]}
WARNING = {"tensor": "W", "below": 1, "code": "LOW", "message": "Low"}


def model(
    inputs: Any = (("X", "FP32", (1,)),), outputs: Any = (("P", "FP32", (2,)),), batch: int = 8
) -> ModelSignature:
    return ModelSignature(
        tuple(TensorSignature(*tensor) for tensor in inputs),
        tuple(TensorSignature(*tensor) for tensor in outputs),
        batch,
    )


@pytest.mark.parametrize(
    "signature",
    [
        model(),
        model(inputs=[("X", "FP32", (-1,))]),
        model(outputs=[("P", "FP32", (-1,))]),
        model(outputs=[("P", "FP64", (2,)), ("MORE", "BYTES", (1,))]),
        model(batch=1),
    ],
    ids=["same", "any input", "any output", "more outputs", "batch of one"],
)
def test_a_model_that_agrees_has_no_disagreements(
    compiled: Compile, signature: ModelSignature
) -> None:
    assert disagreements(compiled(answer=LABELS), signature) == []


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        (model(batch=0), "batch"),
        (model(inputs=[("Y", "FP32", (1,))]), "no input X"),
        (model(inputs=[("X", "FP64", (1,))]), "FP64"),
        (model(inputs=[("X", "FP32", (2,))]), "shape"),
        (model(inputs=[("X", "FP32", (1, 1))]), "shape"),
        (model(inputs=[("X", "FP32", (1,)), ("Y", "FP32", (1,))]), "Y"),
        (model(outputs=[("Q", "FP32", (2,))]), "no output P"),
        (model(outputs=[("P", "INT64", (2,))]), "INT64"),
        (model(outputs=[("P", "FP32", (3,))]), "3 elements for 2 labels"),
        (model(outputs=[("P", "FP32", (2, 2))]), "one dimension"),
    ],
)
def test_every_disagreement_is_told_with_a_remedy(
    compiled: Compile, signature: ModelSignature, told: str
) -> None:
    found = disagreements(compiled(answer=LABELS), signature)
    assert any(told in one.message for one in found)
    assert all(one.remedy for one in found)


@pytest.mark.parametrize(
    ("kind", "shape", "agrees"),
    [("regression", (1,), True), ("regression", (2,), False), ("embedding", (384,), True)],
)
def test_the_kind_of_the_answer_decides_the_shape(
    compiled: Compile, kind: str, shape: tuple[int, ...], *, agrees: bool
) -> None:
    made = compiled(answer={"kind": kind, "tensor": "P"})
    assert bool(disagreements(made, model(outputs=[("P", "FP32", shape)]))) is not agrees


@pytest.mark.parametrize(
    ("datatype", "shape", "agrees"),
    [("INT64", (1,), True), ("FP32", (1,), True), ("FP32", (2,), False), ("BYTES", (1,), False)],
)
def test_a_warning_needs_one_number(
    compiled: Compile, datatype: str, shape: tuple[int, ...], *, agrees: bool
) -> None:
    made = compiled(answer=LABELS | {"warnings": [WARNING]})
    outputs = [("P", "FP32", (2,)), ("W", datatype, shape)]
    assert bool(disagreements(made, model(outputs=outputs))) is not agrees


def test_a_contract_of_any_length_needs_a_model_of_any_length(compiled: Compile) -> None:
    array = {"type": "array", "items": {"type": "number"}}
    made = compiled(
        inputs={"required": ["x"], "properties": {"x": array}},
        tensors={"X": {"from": "x", "datatype": "FP32", "shape": [-1]}},
        examples=[{"x": [1]}],
        answer=LABELS,
    )
    assert disagreements(made, model(inputs=[("X", "FP32", (3,))]))
    assert not disagreements(made, model(inputs=[("X", "FP32", (-1,))]))


def test_tensors_of_any_dtype_may_be_passed_on(compiled: Compile) -> None:
    made = compiled(answer={"kind": "tensors", "tensors": ["P"]})
    assert not disagreements(made, model(outputs=[("P", "BYTES", (2, 2))]))
    assert disagreements(made, model(outputs=[("Q", "BYTES", (2, 2))]))
