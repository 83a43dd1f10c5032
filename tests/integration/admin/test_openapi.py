"""The OpenAPI document is valid, complete, and true."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contract import golden
from tests.integration.admin.conftest import Door, MintKey, Workshop
from tests.integration.admin.test_scopes import CASES

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(door: Door) -> Document:
    answer = httpx.get(f"{door.url}/admin/v1/openapi.json", trust_env=False)
    assert answer.headers["content-type"] == "application/json"
    found: Document = answer.json()
    return found


def test_it_is_valid_openapi_31(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_route_is_in_it_with_its_scope(document: Document) -> None:
    told = {
        (method.upper(), path): operation["description"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert told == {route: f"Scope: `admin:{case.scope}`" for route, case in CASES.items()}


def test_it_is_what_the_golden_file_says(document: Document) -> None:
    shown = {**document, "info": {**document["info"], "version": "any"}}
    golden.check("operators_openapi", shown)


def test_operation_ids_are_unique(document: Document) -> None:
    ids = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))


def test_no_answer_has_a_digest(document: Document) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert not {"digests", "digest_until"} & schema.get("properties", {}).keys(), name


def test_answers_are_as_it_says(
    document: Document, root: httpx.Client, tenant: str, tier: str, new_key: MintKey
) -> None:
    key = new_key(tenant, "predict")["record"]["id"]
    requests: dict[tuple[str, str], tuple[str, Any]] = {
        ("get", "/tenants"): ("/tenants", None),
        ("get", "/tenants/{tenant}"): (f"/tenants/{tenant}", None),
        ("patch", "/tenants/{tenant}"): (f"/tenants/{tenant}", {"title": "x"}),
        ("put", "/tenants/{tenant}/overrides"): (f"/tenants/{tenant}/overrides", {"burst": 1}),
        ("get", "/tenants/{tenant}/keys"): (f"/tenants/{tenant}/keys", None),
        ("post", "/tenants/{tenant}/keys"): (f"/tenants/{tenant}/keys", {}),
        ("get", "/keys/{key}"): (f"/keys/{key}", None),
        ("post", "/keys/{key}/rotate"): (f"/keys/{key}/rotate", {}),
        ("delete", "/keys/{key}"): (f"/keys/{key}", None),
        ("get", "/tiers"): ("/tiers", None),
        ("get", "/tiers/{tier}"): (f"/tiers/{tier}", None),
        ("get", "/audit"): ("/audit", None),
    }
    for (method, template), (path, body) in requests.items():
        answer = root.request(method, path, json=body)
        operation = check(document, method, template, answer)
        missing = root.request(method, path + "?nothing=1", json=body)
        assert str(missing.status_code) in operation["responses"]
        error = {"$ref": "#/components/schemas/Error", "components": document["components"]}
        assert jsonschema_rs.Draft202012Validator(error).is_valid(missing.json())


def check(document: Document, method: str, template: str, answer: httpx.Response) -> Document:
    """The operation of a path, whose schema an answer has to fit."""
    operation: Document = document["paths"][f"/admin/v1{template}"][method]
    told = operation["responses"][str(answer.status_code)]["content"]["application/json"]
    schema = {**told["schema"], "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid(answer.json()), (template, answer.text)
    return operation


def test_answers_about_models_are_as_it_says(document: Document, workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={}, v2_0_0={"fails": 1.0})
    root, of = workshop.root, f"/models/{model}"
    shadowed = [{"version": "v1.1.0", "weight": 5, "shadow": 10}]
    started = root.post(f"{of}/rollout", json={"candidates": shadowed})
    rollout = f"/rollouts/{started.json()['id']}"
    check(document, "post", "/models/{model}/rollout", started)
    requests: dict[tuple[str, str], tuple[str, Any]] = {
        ("get", "/models"): ("/models", None),
        ("get", "/models/{model}"): (of, None),
        ("get", "/models/{model}/diff"): (f"{of}/diff?from=v1.0.0&to=v1.1.0", None),
        ("post", "/repository/refresh"): ("/repository/refresh", None),
        ("put", "/models/{model}/aliases/{alias}"): (f"{of}/aliases/a", {"version": "v1.0.0"}),
        ("get", "/models/{model}/rollout"): (f"{of}/rollout", None),
        ("patch", "/models/{model}/rollout"): (f"{of}/rollout", {"weights": {"v1.1.0": 6}}),
        ("get", "/rollouts/{rollout}"): (rollout, None),
        ("get", "/rollouts/{rollout}/shadow/{version}"): (f"{rollout}/shadow/v1.1.0", None),
        ("get", "/rollouts/{rollout}/shadow/{version}/differences"): (
            f"{rollout}/shadow/v1.1.0/differences", None,
        ),
        ("post", "/models/{model}/rollout/promote"): (f"{of}/rollout/promote", {}),
        ("post", "/rollouts/{rollout}/undo"): (f"{rollout}/undo", None),
        ("get", "/rollouts"): (f"/rollouts?model={model}", None),
    }  # fmt: skip
    for (method, template), (path, body) in requests.items():
        answer = root.request(method, path, json=body)
        check(document, method, template, answer)
