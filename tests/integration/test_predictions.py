"""Predictions in every shape, and which version gives them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.stack import Stack

LOVELY = {"text": "The room was lovely and the staff could not have been kinder."}
WINE = {
    "alcohol": 13.2, "malic_acid": 1.78, "ash": 2.14, "alcalinity_of_ash": 11.2, "magnesium": 100,
    "total_phenols": 2.65, "flavanoids": 2.76, "nonflavanoid_phenols": 0.26,
    "proanthocyanins": 1.28, "color_intensity": 4.38, "hue": 1.05,
    "od280_od315_of_diluted_wines": 3.4, "proline": 1050,
}  # fmt: skip
V1_FIELDS = {
    "prediction", "confidence", "below_threshold", "model", "model_version", "request_id",
}  # fmt: skip
V2 = "application/vnd.tidegate.v2+json"
V1 = "application/vnd.tidegate.v1+json"


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    return error


def test_v1_is_flat(stack: Stack) -> None:
    answer = ok(stack.predict(LOVELY))
    assert answer.keys() == V1_FIELDS
    assert answer["prediction"] == "positive"
    assert 1 / 3 < answer["confidence"] <= 1
    assert answer["below_threshold"] is False
    assert (answer["model"], answer["model_version"]) == ("sentiment", "v2.3.1")


def test_v2_is_structured_and_has_every_probability(stack: Stack) -> None:
    answer = ok(stack.predict(LOVELY, "/api/v2/predict"))
    assert answer.keys() == {"data", "model", "usage", "timing", "warnings", "request_id"}
    probabilities = answer["data"]["probabilities"]
    assert probabilities.keys() == {"negative", "neutral", "positive"}
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer["data"]["confidence"] == max(probabilities.values())
    assert answer["model"] == {"name": "sentiment", "version": "v2.3.1", "rollout": None}
    assert answer["usage"] == {"units": 1}
    assert answer["timing"].keys() == {"admission_ms", "queue_ms", "inference_ms"}
    assert all(value >= 0 for value in answer["timing"].values())
    assert answer["warnings"] == []


def test_both_majors_give_the_same_prediction(stack: Stack) -> None:
    flat = ok(stack.predict(LOVELY))
    data = ok(stack.predict(LOVELY, "/api/v2/predict"))["data"]
    assert data["prediction"] == flat["prediction"]
    assert data["confidence"] == pytest.approx(flat["confidence"], abs=1e-3)


@pytest.mark.parametrize(
    ("accept", "media_type", "shape"),
    [
        (V2, V2, "data"),
        (V1, V1, "prediction"),
        (V2.upper(), V2, "data"),
        (f"{V2}, application/json", V2, "data"),
        ("application/json", "application/json", "prediction"),
        ("*/*", "application/json", "prediction"),
    ],
)
def test_accept_chooses_the_major(stack: Stack, accept: str, media_type: str, shape: str) -> None:
    answer = stack.predict(LOVELY, "/api/predict", {"Accept": accept})
    assert shape in ok(answer)
    assert answer.headers["content-type"] == media_type
    assert "accept" in answer.headers["vary"].lower()


def test_a_major_that_does_not_exist_is_not_acceptable(stack: Stack) -> None:
    answer = stack.predict(LOVELY, "/api/predict", {"Accept": V2.replace("v2", "v9")})
    error = refused(answer, 406, "NOT_ACCEPTABLE")
    assert error["details"]["available"] == [V1, V2]


def test_the_preferred_major_wins(stack: Stack) -> None:
    accept = f"{V1};q=0.1, {V2};q=0.9"
    assert "data" in ok(stack.predict(LOVELY, "/api/predict", {"Accept": accept}))


@pytest.mark.parametrize("major", ["v1", "v2"])
def test_a_model_is_named_in_the_path_or_in_the_body(stack: Stack, major: str) -> None:
    by_path = ok(stack.predict(WINE, f"/api/{major}/models/wine/predict"))
    by_body = ok(stack.predict(WINE, f"/api/{major}/predict", model="wine"))
    by_both = ok(stack.predict(WINE, f"/api/{major}/models/wine/predict", model="wine"))
    for answer in (by_path, by_body, by_both):
        assert answer.get("data", answer)["prediction"] == "barolo"


def test_path_and_body_that_name_different_models_conflict(stack: Stack) -> None:
    answer = stack.predict(WINE, "/api/v1/models/wine/predict", model="diabetes")
    refused(answer, 400, "MODEL_CONFLICT")


def test_a_model_without_threshold_says_nothing_of_it(stack: Stack) -> None:
    answer = ok(stack.model("wine", WINE))
    assert answer.keys() == V1_FIELDS - {"below_threshold"}


@pytest.mark.parametrize(
    ("selector", "version"),
    [
        ("v1.0.0", "v1.0.0"),
        ("v1", "v1.0.0"),
        ("v1.0", "v1.0.0"),
        ("v2.3.1", "v2.3.1"),
        ("v2", "v2.3.1"),
        ("v2.3", "v2.3.1"),
        ("stable", "v2.3.1"),
        ("latest", "v3.0.0"),
        ("v3", "v3.0.0"),
        (None, "v2.3.1"),
    ],
)
@pytest.mark.parametrize("where", ["header", "body", "both"])
def test_a_version_is_exact_a_prefix_or_an_alias(
    stack: Stack, selector: str | None, version: str, where: str
) -> None:
    in_header = selector is not None and where != "body"
    in_body = selector is not None and where != "header"
    answer = stack.predict(
        LOVELY,
        headers={"X-Model-Version": selector} if in_header and selector else {},
        **({"model_version": selector} if in_body else {}),
    )
    assert ok(answer)["model_version"] == version
    assert answer.headers["x-model-version"] == version


def test_header_and_body_that_name_different_versions_conflict(stack: Stack) -> None:
    answer = stack.predict(LOVELY, headers={"X-Model-Version": "v1.0.0"}, model_version="v2.3.1")
    assert refused(answer, 400, "VERSION_CONFLICT")["details"] == {
        "header": "v1.0.0", "body": "v2.3.1",
    }  # fmt: skip


@pytest.mark.parametrize("selector", ["v9", "v1.0.1", "v1.1", "canary", "nonsense"])
def test_an_unknown_version_names_those_that_exist(stack: Stack, selector: str) -> None:
    for answer in (
        stack.predict(LOVELY, headers={"X-Model-Version": selector}),
        stack.predict(LOVELY, model_version=selector),
    ):
        details = refused(answer, 404, "MODEL_VERSION_NOT_FOUND")["details"]
        assert details["versions"] == ["v1.0.0", "v2.3.1", "v3.0.0"]


def test_an_unknown_model_names_those_that_exist(stack: Stack) -> None:
    for answer in (stack.model("nose", LOVELY), stack.predict(LOVELY, model="nose")):
        details = refused(answer, 404, "MODEL_NOT_FOUND")["details"]
        assert details["models"] == ["diabetes", "sentiment", "speech", "wine"]


@pytest.mark.parametrize("internal", ["minilm_encoder", "sentiment_linear", "e5_head"])
def test_a_triton_model_cannot_be_called_by_its_own_name(stack: Stack, internal: str) -> None:
    refused(stack.model(internal, LOVELY), 404, "MODEL_NOT_FOUND")


def test_request_ids_are_minted_and_sort_by_time(stack: Stack) -> None:
    ids = []
    for _ in range(20):
        answer = stack.predict(LOVELY, headers={"X-Model-Version": "v1"})
        assert answer.headers["x-request-id"] == ok(answer)["request_id"]
        ids.append(answer.headers["x-request-id"])
    assert all(re.fullmatch("req_[0-9a-f]{32}", each) for each in ids)
    assert len(set(ids)) == 20
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)


def test_the_clients_own_id_comes_back_under_another_name(stack: Stack) -> None:
    answer = stack.predict(LOVELY, headers={"X-Request-ID": "order-17:line_3/a+b=c@d."})
    assert answer.headers["x-client-request-id"] == "order-17:line_3/a+b=c@d."
    assert answer.headers["x-request-id"].startswith("req_")


def test_server_timing_says_where_the_time_went(stack: Stack) -> None:
    timing = stack.predict(LOVELY).headers["server-timing"]
    assert re.fullmatch(r"admission;dur=[\d.]+, queue;dur=[\d.]+, inference;dur=[\d.]+", timing)


@pytest.mark.parametrize("version", ["v1.0.0", "v2.3.1"])
def test_a_text_of_unknown_words_is_warned_about(stack: Stack, version: str) -> None:
    unknown = {"text": "ꙮꙮꙮ ꙮꙮ"}
    flat = stack.predict(unknown, model_version=version)
    ok(flat)
    assert flat.headers["x-warnings"].startswith("NO_KNOWN_WORDS;message=")
    warnings = ok(stack.predict(unknown, "/api/v2/predict", model_version=version))["warnings"]
    assert [warning["code"] for warning in warnings] == ["NO_KNOWN_WORDS"]
    assert "x-warnings" not in stack.predict(LOVELY, model_version=version).headers


def test_a_prediction_below_the_threshold_says_so(stack: Stack) -> None:
    unsure = ok(stack.predict({**LOVELY, "confidence_threshold": 1}))
    assert unsure["below_threshold"] is True
    assert unsure["prediction"] == "positive"
    sure = ok(stack.predict({**LOVELY, "confidence_threshold": 0.3}))
    assert sure["below_threshold"] is False


@pytest.mark.parametrize("version", ["v1.0.0", "v2.3.1"])
@pytest.mark.parametrize("language", ["es", "de"])
def test_a_language_is_refused_with_the_version_that_can(
    stack: Stack, version: str, language: str
) -> None:
    inputs = {"text": "La comida estaba fría.", "language": language}
    error = refused(stack.predict(inputs, model_version=version), 422, "INVALID_INPUT")
    assert error["details"]["field"] == "language"
    assert error["details"]["received"] == language
    assert error["details"]["allowed"] == ["en"]
    assert error["details"]["accepted_by"] == ["v3.0.0"]


@pytest.mark.parametrize(
    ("text", "language", "label"),
    [
        ("La habitación era maravillosa y el personal muy amable.", "es", "positive"),
        ("La comida estaba fría y el servicio fue horrible.", "es", "negative"),
        ("Das Zimmer war wunderschön und das Personal sehr freundlich.", "de", "positive"),
        ("Das Essen war kalt und der Service schrecklich.", "de", "negative"),
    ],
)
def test_v3_answers_spanish_and_german(stack: Stack, text: str, language: str, label: str) -> None:
    answer = ok(stack.predict({"text": text, "language": language}, model_version="v3.0.0"))
    assert (answer["prediction"], answer["model_version"]) == (label, "v3.0.0")


@pytest.mark.parametrize("option", [{"explain": True}, {"explain": "simple"}])
def test_an_option_that_is_not_offered_is_501(stack: Stack, option: dict[str, Any]) -> None:
    error = refused(stack.predict(LOVELY, options=option), 501, "NOT_AVAILABLE")
    assert error["details"]["option"] == next(iter(option))
    assert ok(stack.predict(LOVELY, options=dict.fromkeys(option, False)))
