"""What a submission says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import InvalidInput, MalformedRequest
from control_plane.jobs.requests import MAX_START_S, read_job, read_prediction
from control_plane.jobs.shapes import Task

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000


def test_inputs_alone_are_a_prediction_at_once() -> None:
    request = read_job({"inputs": {"x": 1}}, NOW_MS)
    assert (request.task, request.start_at_ms, request.webhook_url) == (Task.PREDICT, 0, None)
    assert request.envelope.inputs == {"x": 1}
    assert request.envelope.explain is False


def test_everything_that_may_stand_there_is_read() -> None:
    body = {
        "model": "house",
        "model_version": "v1",
        "task": "batch",
        "inputs": [{"x": 1}],
        "options": {"return_errors": "all", "batch_size": 8},
        "webhook_url": "https://example.com/hook?x=1",
        "start_after_s": 1.5,
    }
    request = read_job(body, NOW_MS)
    assert (request.envelope.model, request.envelope.selector) == ("house", "v1")
    assert request.options == {"return_errors": "all", "batch_size": 8}
    assert request.webhook_url == "https://example.com/hook?x=1"
    assert request.start_at_ms == NOW_MS + 1500


def test_an_explanation_is_asked_for_by_its_task() -> None:
    assert read_job({"task": "explain", "inputs": {}}, NOW_MS).envelope.explain is True


@pytest.mark.parametrize("body", [None, [], "text", 5, True])
def test_a_body_that_is_no_object_is_malformed(body: object) -> None:
    with pytest.raises(MalformedRequest):
        read_job(body, NOW_MS)
    with pytest.raises(MalformedRequest):
        read_prediction(body)


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"task": "train"}, "task"),
        ({"task": None}, "task"),
        ({"task": ["predict"]}, "task"),
        ({"inputs": None}, "inputs"),
        ({"inputs": [{}]}, "inputs"),
        ({"task": "batch"}, "inputs"),
        ({"task": "batch", "inputs": []}, "inputs"),
        ({"task": "batch", "inputs": [1]}, "[0]"),
        ({"model": "House"}, "model"),
        ({"model_version": ""}, "model_version"),
        ({"options": {"batch_size": 8}}, "options.batch_size"),
        ({"options": {"async": True}}, "options.async"),
        ({"options": {"explain": "much"}}, "options.explain"),
        ({"task": "batch", "inputs": [{}], "options": {"batch_size": 0}}, "options.batch_size"),
        ({"task": "batch", "inputs": [{}], "options": {"return_errors": True}},
         "options.return_errors"),
        ({"webhook_url": "ftp://example.com"}, "webhook_url"),
        ({"webhook_url": "https://exa mple.com"}, "webhook_url"),
        ({"webhook_url": "https://" + "a" * 2048}, "webhook_url"),
        ({"webhook_url": None}, "webhook_url"),
        ({"start_at": "tomorrow"}, "start_at"),
        ({"start_at": "2026-11-23T10:00:00"}, "start_at"),
        ({"start_at": 5}, "start_at"),
        ({"start_after_s": -1}, "start_after_s"),
        ({"start_after_s": MAX_START_S + 1}, "start_after_s"),
        ({"start_after_s": 1, "start_at": "2026-11-23T10:00:00Z"}, "start_after_s"),
        ({"webhook": "https://example.com"}, "webhook"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_field(extra: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_job({"inputs": {}, **extra}, NOW_MS)
    assert caught.value.faults[0].field.endswith(field)


@pytest.mark.parametrize(
    ("text", "start_ms"),
    [
        ("2026-11-18T13:46:40Z", 1_795_009_600_000),
        ("2026-11-18T14:46:40.250+01:00", 1_795_009_600_250),
        ("2020-01-01T00:00:00Z", 0),
        ("2026-11-18T11:06:40Z", 0),
    ],
)
def test_a_start_is_a_moment_or_now(text: str, start_ms: int) -> None:
    assert read_job({"inputs": {}, "start_at": text}, NOW_MS).start_at_ms == start_ms


def test_a_start_is_at_most_thirty_days_ahead() -> None:
    latest = "2026-12-18T11:06:40Z"
    assert read_job({"inputs": {}, "start_at": latest}, NOW_MS).start_at_ms == NOW_MS + 30 * DAY_MS
    with pytest.raises(InvalidInput):
        read_job({"inputs": {}, "start_at": "2026-12-18T11:06:41Z"}, NOW_MS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["inputs", "task", "options", "model", "webhook_url", "start_at",
                         "start_after_s", "x"])  # fmt: skip


@given(st.dictionaries(NAMES, JSON | st.sampled_from(["batch", "predict", "2026-11-23T10:00:00Z"])))
def test_any_json_is_read_or_refused(body: dict[str, Any]) -> None:
    with suppress(InvalidInput):
        start_ms = read_job(body, NOW_MS).start_at_ms
        assert start_ms == 0 or start_ms >= NOW_MS
