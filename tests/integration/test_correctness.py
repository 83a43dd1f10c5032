"""Tidegate's answers are Triton's own, whatever else is in the batch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ruamel.yaml import YAML
from tritonclient.grpc import InferenceServerClient, InferInput

from tests.stack import REPOSITORY, Stack

TEXTS = [
    "The room was lovely and the staff could not have been kinder.",
    "Two hours late, and nobody told us why.",
    "The train leaves at ten.",
    "ok",
    "Worst. Coffee. Ever!!! 😡😡",
    "I don't hate it, but I would not call it good either.",
    "Grüße aus Köln - schön hier, pero la comida estaba fría.",
    "日本語のレビュー",
    "great " * 60,
    "Terrible service. " + "It was fine otherwise. " * 8,
    "a\tb\nc",
    "https://example.org/x?y=1 @you #wow",
]
BACKINGS = {
    "v1.0.0": "sentiment_linear",
    "v2.3.1": "sentiment_minilm",
    "v3.0.0": "sentiment_multilingual",
}
LABELS = ["negative", "neutral", "positive"]


@pytest.fixture(scope="module")
def triton(stack: Stack) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(stack.endpoints["triton_grpc"])
    yield client
    client.close()


def direct(
    client: InferenceServerClient, model: str, name: str, rows: npt.NDArray[Any], output: str
) -> npt.NDArray[Any]:
    """What Triton itself answers."""
    tensor = InferInput(name, list(rows.shape), "BYTES" if rows.dtype == object else "FP32")
    tensor.set_data_from_numpy(rows)
    answer: npt.NDArray[Any] = client.infer(model, [tensor]).as_numpy(output)
    return answer


def client_config(client: InferenceServerClient, model: str) -> Any:
    """The model's configuration as Triton has it loaded."""
    return client.get_model_config(model).config


def texts_array(texts: list[str]) -> npt.NDArray[Any]:
    return np.array([[text.encode()] for text in texts], np.object_)


def probabilities(stack: Stack, version: str, text: str) -> list[float]:
    for _ in range(5):
        answer = stack.predict({"text": text}, "/api/v2/predict", model_version=version)
        if answer.status_code != 504:  # a busy machine may need longer than a contract allows
            break
    assert answer.status_code == 200, answer.text
    return [answer.json()["data"]["probabilities"][label] for label in LABELS]


@pytest.mark.parametrize("version", BACKINGS)
def test_a_text_gets_tritons_own_answer(
    stack: Stack, triton: InferenceServerClient, version: str
) -> None:
    for text in TEXTS:
        own = direct(triton, BACKINGS[version], "TEXT", texts_array([text]), "PROBABILITIES")[0]
        answer = stack.predict({"text": text}, "/api/v2/predict", model_version=version)
        data = answer.json()["data"]
        assert [data["probabilities"][label] for label in LABELS] == pytest.approx(own, abs=1e-5)
        assert data["prediction"] == LABELS[int(own.argmax())]
        assert data["confidence"] == pytest.approx(float(own.max()), abs=1e-5)


def sample_rows(model: str, count: int = 20) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Column names and random rows within the bounds of a tabular contract."""
    contract = YAML(typ="safe").load((REPOSITORY / model / "1" / "contract.yaml").read_text())
    properties, columns = contract["inputs"]["properties"], contract["tensors"]["X"]["from"]
    draw = random.Random(7)
    rows = []
    for _ in range(count):
        row = []
        for spec in (properties[column] for column in columns):
            value = draw.uniform(spec.get("minimum", 0), spec.get("maximum", 1))
            row.append(draw.choice(spec["enum"]) if "enum" in spec else round(value, 3))
        rows.append(row)
    return columns, np.array(rows, np.float32)


def inputs(columns: list[str], row: npt.NDArray[np.float32]) -> dict[str, float]:
    whole = {"sex"}
    return {
        column: int(value) if column in whole else float(value)
        for column, value in zip(columns, row, strict=True)
    }


def test_a_row_gets_tritons_own_label(stack: Stack, triton: InferenceServerClient) -> None:
    labels = ["barolo", "grignolino", "barbera"]
    columns, rows = sample_rows("wine_logistic")
    own = direct(triton, "wine_logistic", "X", rows, "PROBABILITIES")
    for row, expected in zip(rows, own, strict=True):
        answer = stack.predict(inputs(columns, row), "/api/v2/models/wine/predict").json()["data"]
        assert answer["prediction"] == labels[int(expected.argmax())]
        assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-5)


def test_a_row_gets_tritons_own_number_and_its_unit(
    stack: Stack, triton: InferenceServerClient
) -> None:
    columns, rows = sample_rows("diabetes_forest")
    own = direct(triton, "diabetes_forest", "X", rows, "VALUE")
    for row, expected in zip(rows, own, strict=True):
        answer = stack.model("diabetes", inputs(columns, row)).json()
        assert answer["prediction"] == pytest.approx(float(expected[0]), rel=1e-5)
        assert answer["unit"].startswith("progression")


@pytest.mark.parametrize("version", BACKINGS)
def test_a_text_gets_the_same_answer_in_any_batch(
    triton: InferenceServerClient, version: str
) -> None:
    model, draw = BACKINGS[version], random.Random(11)
    alone = {
        text: direct(triton, model, "TEXT", texts_array([text]), "PROBABILITIES")[0]
        for text in TEXTS
    }
    most = client_config(triton, model).max_batch_size
    for size in (2, 7, min(33, most)):
        batch = [draw.choice(TEXTS) for _ in range(size)]
        together = direct(triton, model, "TEXT", texts_array(batch), "PROBABILITIES")
        worst = max(
            float(np.abs(row - alone[text]).max())
            for text, row in zip(batch, together, strict=True)
        )
        assert worst <= 1e-3, (size, worst)


@pytest.mark.parametrize("version", BACKINGS)
def test_a_text_gets_the_same_answer_among_concurrent_others(stack: Stack, version: str) -> None:
    alone = {text: probabilities(stack, version, text) for text in TEXTS}
    wanted = TEXTS * 3
    random.Random(13).shuffle(wanted)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda text: probabilities(stack, version, text), wanted))
    for text, answer in zip(wanted, answers, strict=True):
        assert answer == pytest.approx(alone[text], abs=1e-3)
