"""Deadlines come from the control plane; what a cancellation reaches in Triton."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration import wire
from tests.stack import Gateway, Triton, until

SLACK_S = 1.5
"""What a busy machine may add to a deadline."""


class Journal:
    """What the sleeping models wrote down."""

    def __init__(self, triton: Triton, model: str = "sleeper") -> None:
        self._path: Path = triton.repository / model / "journal"

    def has(self, event: str, label: str) -> bool:
        """True if a model noted an event for a label."""
        return self._path.exists() and f"{event} {label}" in self._path.read_text().splitlines()

    def waits_for(self, event: str, label: str, seconds: float = 30.0) -> bool:
        """True if the event comes within some seconds."""
        return until(lambda: self.has(event, label), seconds)


@pytest.fixture
def journal(lab_triton: Triton) -> Journal:
    return Journal(lab_triton)


def sleep(gateway: Gateway, label: str, ms: int, timeout_ms: int | None = None, **more: Any) -> Any:
    """A request that takes some milliseconds; the answer and its seconds."""
    headers = {"X-Request-Timeout": str(timeout_ms)} if timeout_ms else {}
    model = more.pop("model", "sleeper")
    begun = time.monotonic()
    answer = gateway.model(model, {"ms": ms, "label": label, **more}, headers=headers)
    return answer, time.monotonic() - begun


def label() -> str:
    return uuid.uuid4().hex


def flush(gateway: Gateway) -> None:
    """Wait until the model has done what it was doing: it takes one request at a time."""
    answer, _ = sleep(gateway, label(), 0)
    assert answer.status_code == 200, answer.text


def test_a_deadline_is_answered_on_time_while_the_model_still_runs(
    lab: Gateway, journal: Journal
) -> None:
    name = label()
    answer, seconds = sleep(lab, name, 2500, timeout_ms=300)
    still_running = journal.has("started", name) and not journal.has("ended", name)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "DEADLINE_EXCEEDED"
    assert 0.3 <= seconds < 0.3 + SLACK_S
    assert still_running
    assert journal.waits_for("ended", name)


def test_a_client_cannot_wait_longer_than_the_contract_allows(lab: Gateway) -> None:
    answer, seconds = sleep(lab, label(), 4500, timeout_ms=3_600_000)
    assert answer.status_code == 504
    assert 3.0 <= seconds < 3.0 + SLACK_S
    assert until(lambda: sleep(lab, label(), 0)[0].status_code == 200, 30)


def test_the_deadline_of_the_contract_holds_without_a_header(lab: Gateway) -> None:
    answer, seconds = sleep(lab, label(), 4500)
    assert answer.status_code == 504
    assert 3.0 <= seconds < 3.0 + SLACK_S
    assert until(lambda: sleep(lab, label(), 0)[0].status_code == 200, 30)


def test_what_expires_in_tritons_queue_never_runs(lab: Gateway, journal: Journal) -> None:
    first, second = label(), label()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sleep, lab, first, 2000)
        assert journal.waits_for("started", first)
        answer, _ = sleep(lab, second, 0, timeout_ms=400)
        assert answer.status_code == 504
        assert not journal.has("ended", first)
        assert running.result()[0].status_code == 200
    flush(lab)
    assert not journal.has("started", second)


def test_what_expires_in_the_control_planes_queue_never_runs(
    lab: Gateway, journal: Journal
) -> None:
    names = [label() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(sleep, lab, name, 900) for name in names[:2]]
        assert until(lambda: any(journal.has("started", name) for name in names[:2]), 30)
        late = [pool.submit(sleep, lab, name, 0, 200) for name in names[2:]]
        assert [each.result()[0].status_code for each in late] == [504, 504]
        assert [each.result()[0].status_code for each in running] == [200, 200]
    flush(lab)
    assert not any(journal.has("started", name) for name in names[2:])


def test_a_running_python_model_that_polls_is_told(lab: Gateway, journal: Journal) -> None:
    def cancelled() -> float:
        counted = "tidegate_call_duration_seconds_count"
        return lab.samples(counted, model="sleeper", outcome="cancelled")

    name, before = label(), cancelled()
    answer, _ = sleep(lab, name, 20_000, timeout_ms=300, poll=True)
    assert answer.status_code == 504
    assert journal.waits_for("cancelled", name)
    assert not journal.has("ended", name)
    assert until(lambda: cancelled() > before, 10)


def test_a_client_that_goes_away_cancels_its_call(lab: Gateway, journal: Journal) -> None:
    name = label()
    body = json.dumps({"inputs": {"ms": 2500, "label": name, "poll": True}}).encode()
    with wire.connect(lab) as connection:
        connection.sendall(wire.post(body, path="/api/v1/models/sleeper/predict"))
        assert journal.waits_for("started", name)
    assert until(lambda: journal.has("cancelled", name) or journal.has("ended", name), 30)
    assert journal.has("cancelled", name)


def test_in_an_ensemble_the_running_step_ends_and_the_next_never_starts(
    lab: Gateway, lab_triton: Triton, journal: Journal
) -> None:
    name, later = label(), label()
    answer, _ = sleep(lab, name, 1200, timeout_ms=300, poll=True, model="relay")
    assert answer.status_code == 504
    assert journal.waits_for("ended", name)
    assert sleep(lab, later, 0, model="relay")[0].status_code == 200
    after = Journal(lab_triton, "sleeper_after")
    assert after.has("ended", later)
    assert not after.has("started", name)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "3600001", "soon", "", "1e3"])
def test_a_timeout_that_is_none_is_refused(lab: Gateway, value: str) -> None:
    answer = lab.model("sleeper", {"ms": 0, "label": "x"}, headers={"X-Request-Timeout": value})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["parameter"] == "X-Request-Timeout"


def test_other_models_answer_while_one_is_stuck(lab: Gateway) -> None:
    with ThreadPoolExecutor(4) as pool:
        stuck = [pool.submit(sleep, lab, label(), 1000, 2500) for _ in range(3)]
        answers = [lab.model("picky", {"text": "lovely"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [httpx.codes.OK] * 3
        for each in stuck:
            each.result()
    assert until(lambda: sleep(lab, label(), 0)[0].status_code == 200, 30)
