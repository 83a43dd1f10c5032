"""Metrics count what happened; everything else that is logged is JSON."""

from __future__ import annotations

import logging
import sys

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.logs import JsonFormatter
from control_plane.telemetry.metrics import Metrics, exposition
from control_plane.types import ModelRef, Version

REF = ModelRef("house", Version(1, 0, 0))
HOUSE = {"model": "house", "version": "v1.0.0"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def exchange(status: int = 200, error: str = "") -> Exchange:
    made = Exchange("req_1", None, "POST", 0.0)
    made.route, made.model, made.version = "/api/v1/predict", "house", "v1.0.0"
    made.status, made.error = status, error
    return made


def test_a_request_is_counted_by_route_model_version_and_status(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.request(exchange(), 0.02)
    metrics.request(exchange(), 0.2)
    labels = {"route": "/api/v1/predict", "status": "200", **HOUSE}
    name = "tidegate_request_duration_seconds"
    assert registry.get_sample_value(f"{name}_count", labels) == 2
    assert registry.get_sample_value(f"{name}_sum", labels) == pytest.approx(0.22)
    assert registry.get_sample_value(f"{name}_bucket", {**labels, "le": "0.025"}) == 1


def test_an_error_is_counted_by_its_code(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.request(exchange(503, "OVERLOADED"), 0.0)
    metrics.request(exchange(), 0.0)
    assert registry.get_sample_value("tidegate_errors_total", {"code": "OVERLOADED"}) == 1


def test_a_call_is_counted_with_its_size_and_outcome(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    outcomes = ("ok", "failed", "cancelled")
    for size, outcome in enumerate(outcomes, start=1):
        metrics.call(REF, size, 0.01, outcome)
    assert registry.get_sample_value("tidegate_call_inputs_sum", HOUSE) == 6
    for outcome in outcomes:
        labels = {**HOUSE, "outcome": outcome}
        assert registry.get_sample_value("tidegate_call_duration_seconds_count", labels) == 1


def test_the_state_of_a_version_is_what_was_set_last(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.state(REF, ready=True, waiting=7)
    metrics.state(REF, ready=False, waiting=3)
    metrics.faults(2)
    assert registry.get_sample_value("tidegate_model_ready", HOUSE) == 0
    assert registry.get_sample_value("tidegate_waiting_inputs", HOUSE) == 3
    assert registry.get_sample_value("tidegate_contract_faults") == 2


def test_every_metric_is_listed_for_the_documentation(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    listed = {family.name for family, _ in metrics.families()}
    assert listed == {family.name for family in registry.collect()}
    assert all(name.startswith("tidegate_") for name in listed)


def test_metrics_are_exposed_as_text(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.faults(1)
    assert b"tidegate_contract_faults 1.0" in exposition(registry)


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "levelname": "ERROR", "name": "tidegate"})
    made.__dict__.update(extra)
    return made


def test_a_record_is_one_json_object_with_the_fields_given() -> None:
    text = JsonFormatter().format(record("version left out", model="house", reasons=["a", "b"]))
    line = msgspec.json.decode(text)
    assert (line["event"], line["level"]) == ("version left out", "error")
    assert (line["model"], line["reasons"]) == ("house", ["a", "b"])
    assert "\n" not in text


def test_a_traceback_becomes_a_field() -> None:
    try:
        raise LookupError("secret")
    except LookupError:
        made = record("failed", exc_info=sys.exc_info())
    text = JsonFormatter().format(made)
    assert "LookupError: secret" in msgspec.json.decode(text)["traceback"]
    assert "\n" not in text


@pytest.mark.parametrize("value", [object(), {1, 2}, b"\xff", ValueError("x"), 10**40, "\ud800"])
def test_a_field_of_any_type_can_be_logged(value: object) -> None:
    assert "event" in msgspec.json.decode(JsonFormatter().format(record("x", field=value)))
