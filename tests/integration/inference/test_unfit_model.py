"""A model that fails the example of its own contract, behind a door."""

from __future__ import annotations

from tests.stack import Gateway, ready_models, until


def test_a_model_that_fails_its_example_gets_no_request(lab: Gateway) -> None:
    assert "unfit v1.0.0" not in ready_models(lab)
    answer = lab.model("unfit", {"text": "another"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "MODEL_UNAVAILABLE")
    assert until(lambda: "example 0 fails: " in lab.run.log(), 30)
    assert lab.model("picky", {"text": "x"}).is_success
