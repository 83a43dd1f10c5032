"""Answers: rows of a batch, the four kinds, and outputs that break the contract."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from control_plane.contracts.answers import AnswerDecoder
from control_plane.contracts.document import AnswerSpec, WarningSpec
from control_plane.errors import ModelFailed
from control_plane.types import Tensor

SENTIMENT = AnswerSpec(kind="classification", tensor="P", labels=["bad", "good"], threshold="least")
PRICE = AnswerSpec(kind="regression", tensor="P", unit="EUR")
VECTOR = AnswerSpec(kind="embedding", tensor="P")
RAW = AnswerSpec(kind="tensors", tensors=["P", "Q"])


def fp32(name: str, values: Any) -> Tensor:
    array = np.array(values, dtype="<f4")
    return Tensor(name, "FP32", array.shape, array.tobytes())


def answers(spec: AnswerSpec, values: Any, inputs: dict[str, Any] | None = None) -> list[Any]:
    decoder = AnswerDecoder(spec)
    rows = decoder.split({"P": fp32("P", values)}, len(values))
    return [
        row if isinstance(row, Exception) else decoder.answer(row, inputs or {}) for row in rows
    ]


def test_a_classification_names_the_best_label_and_every_probability() -> None:
    (answer,) = answers(SENTIMENT, [[0.25, 0.75]], {"least": 0.5})
    assert answer.flat == {"prediction": "good", "confidence": 0.75, "below_threshold": False}
    assert answer.data == {**answer.flat, "probabilities": {"bad": 0.25, "good": 0.75}}


@pytest.mark.parametrize(("least", "below"), [(0.0, False), (0.75, False), (0.7500001, True)])
def test_a_prediction_below_the_threshold_says_so(least: float, *, below: bool) -> None:
    (answer,) = answers(SENTIMENT, [[0.25, 0.75]], {"least": least})
    assert answer.flat["below_threshold"] is below


def test_a_regression_gives_the_number_and_its_unit() -> None:
    (answer,) = answers(PRICE, [[12.5]])
    assert answer.flat == answer.data == {"prediction": 12.5, "unit": "EUR"}


def test_an_embedding_gives_the_vector_and_its_length() -> None:
    (answer,) = answers(VECTOR, [[1.0, -2.0, 0.5]])
    assert answer.data == {"embedding": [1.0, -2.0, 0.5], "dimensions": 3}


def test_tensors_are_given_as_they_are() -> None:
    decoder = AnswerDecoder(RAW)
    words = Tensor("Q", "BYTES", (1, 2), b"\x02\x00\x00\x00hi\x00\x00\x00\x00")
    (row,) = decoder.split({"P": fp32("P", [[[1, 2], [3, 4]]]), "Q": words}, 1)
    assert not isinstance(row, Exception)
    outputs = decoder.answer(row, {}).data["outputs"]
    assert outputs == {"P": [[1.0, 2.0], [3.0, 4.0]], "Q": ["hi", ""]}


def test_each_input_gets_its_own_row_in_order() -> None:
    got = [answer.flat["prediction"] for answer in answers(PRICE, [[1.0], [2.0], [3.0]])]
    assert got == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_fails_its_own_input_alone(bad: float) -> None:
    first, second, third = answers(PRICE, [[1.0], [bad], [3.0]])
    assert first.flat["prediction"] == 1.0
    assert isinstance(second, ModelFailed)
    assert third.flat["prediction"] == 3.0


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("P", "FP32", (3, 1), b"\0" * 12),
        Tensor("P", "FP32", (), b"\0" * 4),
        Tensor("P", "FP32", (2, 2), b"\0" * 8),
        Tensor("P", "FP32", (2, 1), b"\0" * 7),
        Tensor("P", "BF16", (2, 1), b"\0" * 4),
        Tensor("P", "BYTES", (2, 1), b"\x01\x00\x00\x00a"),
        Tensor("P", "BYTES", (2, 1), b"\x01\x00\x00\x00a\x63\x00\x00\x00b"),
    ],
    ids=["batch", "scalar", "short", "ragged", "dtype", "one string", "string cut short"],
)
def test_an_output_that_does_not_hold_its_shape_is_the_models_fault(tensor: Tensor) -> None:
    with pytest.raises(ModelFailed):
        AnswerDecoder(PRICE).split({"P": tensor}, 2)


def test_a_missing_output_is_the_models_fault() -> None:
    with pytest.raises(ModelFailed):
        AnswerDecoder(PRICE).split({"Q": fp32("Q", [[1.0]])}, 1)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (SENTIMENT, [[0.1, 0.2, 0.7]]),
        (SENTIMENT, [[1.0]]),
        (SENTIMENT, [0.5]),
        (SENTIMENT, [[[0.5, 0.5], [0.1, 0.9]]]),
        (PRICE, [[1.0, 2.0]]),
        (PRICE, [1.0]),
        (PRICE, [[[1.0]]]),
        (VECTOR, [1.0]),
        (VECTOR, [[[1.0], [2.0]]]),
    ],
)
def test_an_output_of_another_rank_or_length_is_the_models_fault(
    spec: AnswerSpec, values: Any
) -> None:
    with pytest.raises(ModelFailed):
        answers(spec, values, {"least": 0})


def test_a_warning_is_given_below_its_bound_only() -> None:
    warning = WarningSpec(tensor="KNOWN", below=1, code="NO_KNOWN_WORDS", message="Nothing known")
    decoder = AnswerDecoder(AnswerSpec(kind="regression", tensor="P", warnings=[warning]))
    assert decoder.outputs == ("P", "KNOWN")
    rows = decoder.split({"P": fp32("P", [[1], [2]]), "KNOWN": fp32("KNOWN", [[0], [1]])}, 2)
    warned = [decoder.answer(row, {}).warnings for row in rows if not isinstance(row, Exception)]
    assert [[one.code for one in warnings] for warnings in warned] == [["NO_KNOWN_WORDS"], []]


@pytest.mark.parametrize(
    ("spec", "values"),
    [(SENTIMENT, [[0.25, 0.75]]), (PRICE, [[1.5]]), (VECTOR, [[1.0, 2.0]])],
    ids=["classification", "regression", "embedding"],
)
def test_an_answer_satisfies_the_schema_that_is_published_for_it(
    spec: AnswerSpec, values: Any
) -> None:
    (answer,) = answers(spec, values, {"least": 0.9})
    for body, properties in zip(
        (answer.flat, answer.data), AnswerDecoder(spec).kind.schemas(), strict=True
    ):
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        jsonschema_rs.Draft202012Validator(schema).validate(body)
