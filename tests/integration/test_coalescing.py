"""Concurrent requests share calls to Triton, and a bad one fails alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack import Gateway, Triton


def send(lab: Gateway, texts: list[str]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(lambda text: lab.model("picky", {"text": text}), texts))


def executions(triton: Triton) -> dict[str, Any]:
    url = f"http://{triton.http}/v2/models/picky/versions/1/stats"
    stats: dict[str, Any] = httpx.get(url).json()["model_stats"][0]
    return stats


def test_concurrent_requests_share_calls(lab: Gateway, lab_triton: Triton) -> None:
    before, calls = executions(lab_triton), lab.samples("tidegate_call_inputs_count", model="picky")
    inputs = lab.samples("tidegate_call_inputs_sum", model="picky")
    answers = send(lab, [f"{'x' * number}" for number in range(1, 41)])
    assert [answer.json()["prediction"] for answer in answers] == list(range(1, 41))
    after = executions(lab_triton)
    assert after["inference_count"] - before["inference_count"] == 40
    assert after["execution_count"] - before["execution_count"] <= 20
    assert lab.samples("tidegate_call_inputs_sum", model="picky") - inputs == 40
    assert lab.samples("tidegate_call_inputs_count", model="picky") - calls <= 20


@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_bad_input_fails_alone(lab: Gateway, place: int) -> None:
    texts = [f"{'x' * (number + 1)}" for number in range(16)]
    texts[place] = "poison"
    answers = send(lab, texts)
    assert answers[place].status_code == 422
    assert answers[place].json()["error"]["details"]["issue"] == "was refused by the model"
    for text, answer in zip(texts, answers, strict=True):
        if text != "poison":
            assert answer.json()["prediction"] == len(text)


def test_an_answer_that_is_no_number_fails_alone(lab: Gateway) -> None:
    texts = ["x", "nan", "xxx"]
    answers = send(lab, texts)
    assert [answer.status_code for answer in answers] == [200, 502, 200]
    assert answers[1].json()["error"]["code"] == "MODEL_FAILED"


def test_models_do_not_share_calls_but_answer_together(lab: Gateway) -> None:
    def one(number: int) -> int:
        if number % 2:
            return lab.model("picky", {"text": "x"}).status_code
        return lab.model("sleeper", {"ms": 0, "label": "x"}).status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(one, range(24))) == {200}
