"""OpenAPI is valid, complete, and its examples work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from control_plane.error_codes import CATALOGUE
from tests.stack import Stack

Document = dict[str, Any]
OPERATORS = {409}
"""Statuses of the operators' API alone."""


@pytest.fixture(scope="module")
def document(stack: Stack) -> Document:
    answer = stack.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: Document = answer.json()
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_is_valid_openapi_31(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_model_has_an_operation_in_each_major(document: Document) -> None:
    for model in ("sentiment", "wine", "diabetes"):
        for major in ("v1", "v2"):
            assert f"/api/{major}/models/{model}/predict" in document["paths"]
    assert {"/api/predict", "/api/v1/predict", "/api/v2/predict"} <= document["paths"].keys()


def test_operation_ids_are_unique(document: Document) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_path_is_served(document: Document, stack: Stack) -> None:
    for path, method, _ in operations(document):
        filled = path.replace("{model}", "wine")
        answer = stack.client.request(method, filled)
        missing = set() if "{" in filled else {404}
        assert answer.status_code not in {405, 500, *missing}, path


def test_the_inputs_are_those_of_the_contracts(document: Document, stack: Stack) -> None:
    for model, version in (("sentiment", "v1.0.0"), ("wine", "v1.0.0"), ("sentiment", "v3.0.0")):
        served = stack.client.get(f"/api/v1/models/{model}/schema?version={version}").json()
        assert document["components"]["schemas"][f"{model}.{version}.Inputs"] == served["inputs"]


def test_every_error_code_is_documented(document: Document) -> None:
    codes = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]
    assert set(codes["enum"]) == CATALOGUE.keys()
    for path, method, operation in operations(document):
        if method == "post" and path.endswith("/predict"):
            documented = {int(status) for status in operation["responses"]} | {406}
            assert {spec.status for spec in CATALOGUE.values()} <= documented | OPERATORS, path


def test_what_a_caller_may_be_told_of_its_key_and_limits_is_documented(document: Document) -> None:
    assert document["security"] == [{"bearer": []}, {"key": []}, {}]
    for path, _, operation in operations(document):
        if path.startswith("/api/"):
            assert {"401", "403", "429"} <= operation["responses"].keys(), path
            good = min(status for status in operation["responses"] if status.startswith("2"))
            assert "RateLimit" in operation["responses"][good]["headers"], path
    answers = document["components"]["responses"]
    assert "WWW-Authenticate" in answers["401"]["headers"]
    assert {"Retry-After", "RateLimit", "X-Quota-Reset"} <= answers["429"]["headers"].keys()


def test_every_example_works_and_its_answer_is_as_described(
    document: Document, stack: Stack
) -> None:
    tried = 0
    for path, _, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            answer: httpx.Response = stack.client.post(path, json=example["value"])
            assert answer.status_code == 200, (path, example, answer.text)
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            whole = {**schema, "components": document["components"]}
            jsonschema_rs.validate(whole, answer.json())
            tried += 1
    assert tried >= 10


def test_what_a_get_answers_is_as_described(document: Document, stack: Stack) -> None:
    body = {"inputs": {"text": "lovely"}}
    job = stack.client.post("/api/v1/jobs", json=body, headers={"prefer": "wait=30"}).json()
    for path, method, operation in operations(document):
        filled = path.replace("{model}", "sentiment").replace("{job_id}", job["job_id"])
        content = operation["responses"].get("200", {}).get("content", {})
        if method == "get" and "{" not in filled and "application/json" in content:
            answer = stack.client.get(filled)
            schema = content["application/json"]["schema"]
            jsonschema_rs.validate({**schema, "components": document["components"]}, answer.json())


def test_the_models_pages_agree_with_each_other(stack: Stack) -> None:
    listed = stack.client.get("/api/v1/models").json()
    assert listed["default_model"] == "sentiment"
    assert [model["name"] for model in listed["models"]] == [
        "diabetes", "sentiment", "speech", "wine"]  # fmt: skip
    for model in listed["models"]:
        base = f"/api/v1/models/{model['name']}"
        detail = stack.client.get(base).json()
        versions = stack.client.get(f"{base}/versions").json()
        assert [each["version"] for each in detail["versions"]] == model["versions"]
        assert versions["versions"] == detail["versions"]
        assert detail["default_version"] == model["default_version"] == versions["default_version"]
        assert all(each["card"] for each in detail["versions"]), model["name"]


def test_a_schema_is_chosen_like_a_version(stack: Stack) -> None:
    base = "/api/v1/models/sentiment/schema"
    for selector, version in (("v1", "v1.0.0"), ("latest", "v3.0.0"), ("stable", "v2.3.1")):
        answer = stack.client.get(base, params={"version": selector})
        assert answer.json()["model_version"] == answer.headers["x-model-version"] == version
    assert stack.client.get(base).json()["model_version"] == "v2.3.1"
    assert stack.client.get(base, params={"version": "v9"}).status_code == 404
    assert stack.client.get("/api/v1/models/nose/schema").status_code == 404
