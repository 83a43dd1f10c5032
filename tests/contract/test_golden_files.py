"""The public surface is what the golden files say."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from control_plane.error_codes import CATALOGUE
from control_plane.telemetry.metrics import Metrics
from tests.contract import golden
from tests.stack import CHECKOUT, Stack


def test_openapi(stack: Stack) -> None:
    document: dict[str, Any] = stack.client.get("/openapi.json").json()
    document["info"].pop("version")
    golden.check("openapi", document)


def test_error_catalogue() -> None:
    golden.check(
        "errors",
        {code: {"status": e.status, "retryable": e.retryable} for code, e in CATALOGUE.items()},
    )


def test_metric_names(stack: Stack) -> None:
    families = Metrics(CollectorRegistry()).families()
    known = {
        family.name: {"type": family.type, "labels": sorted(labels)} for family, labels in families
    }
    golden.check("metrics", known)
    stack.predict({"text": "lovely"})
    stack.predict({})
    found = {}
    for family in text_string_to_metric_families(stack.scrape()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le", "pid"}
        found[family.name] = {"type": family.type, "labels": sorted(labels)}
    assert found.items() <= known.items()
    assert {"tidegate_errors", "tidegate_model_ready", "tidegate_call_inputs"} <= found.keys()


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", CHECKOUT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", sorted(generator().PAGES))
def test_a_generated_page_is_up_to_date(page: str) -> None:
    expected = generator().PAGES[page]()
    assert (CHECKOUT / "docs" / page).read_text(encoding="utf-8") == expected, "run: make docs"
