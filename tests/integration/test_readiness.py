"""Readiness follows Triton within two seconds; a bad model leaves the others up."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.stack import Door, Gateway, Stack, copied_models, ready_models, started_up, until

PROMISED_S = 2.0
SLACK_S = 1.5
"""What a busy machine may add to the promise."""
BACK_S = 60.0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that these tests may hurt."""
    repository = copied_models(tmp_path_factory.mktemp("models"), "wine_logistic")
    data = tmp_path_factory.mktemp("data")
    with started_up(data, repository, default_model="wine") as started:
        yield started


def triton(small: Stack) -> psutil.Process:
    below = psutil.Process(small.run.pid).children()
    return next(each for each in below if "tritonserver" in each.name())


def seconds_until(stack: Stack, status: int, patience: float) -> float:
    """Seconds until /ready answers a status; /healthz answers 200 throughout."""
    begun = time.monotonic()

    def answered() -> bool:
        assert stack.client.get("/healthz").json() == {"status": "healthy"}
        return stack.ready() == status

    assert until(answered, patience)
    return time.monotonic() - begun


def wine() -> dict[str, float]:
    columns = (
        "alcohol malic_acid ash alcalinity_of_ash magnesium total_phenols flavanoids "
        "nonflavanoid_phenols proanthocyanins color_intensity hue od280_od315_of_diluted_wines "
        "proline"
    )
    return dict.fromkeys(columns.split(), 1.0) | {"alcohol": 13.0}


def test_ready_names_every_version(stack: Stack) -> None:
    assert until(lambda: stack.client.get("/ready").json()["model_loaded"], BACK_S)
    answer = stack.client.get("/ready")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["records"]) == ("ready", "up")
    assert [(line["name"], line["version"]) for line in body["models"]] == [
        ("diabetes", "v1.0.0"),
        ("sentiment", "v1.0.0"),
        ("sentiment", "v2.3.1"),
        ("sentiment", "v3.0.0"),
        ("speech", "v1.0.0"),
        ("wine", "v1.0.0"),
    ]


def test_a_killed_triton_is_seen_within_two_seconds_and_comes_back(small: Stack) -> None:
    assert until(lambda: small.ready() == 200, BACK_S)
    triton(small).send_signal(signal.SIGKILL)
    assert seconds_until(small, 503, PROMISED_S + SLACK_S) < PROMISED_S + SLACK_S
    refused = small.predict(wine())
    if refused.status_code != 200:
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "MODEL_UNAVAILABLE"
        assert "retry-after" in refused.headers
    seconds_until(small, 200, BACK_S)
    assert small.predict(wine()).status_code == 200


def test_a_stopped_triton_is_seen_within_two_seconds_and_comes_back(small: Stack) -> None:
    assert until(lambda: small.ready() == 200, BACK_S)
    victim = triton(small)
    victim.suspend()
    try:
        seconds_until(small, 503, PROMISED_S + SLACK_S)
        assert small.client.get("/ready").json()["status"] == "unready"
    finally:
        victim.resume()
    seconds_until(small, 200, BACK_S)
    assert small.predict(wine()).status_code == 200


def test_a_request_in_flight_gets_its_deadline_when_triton_stops(small: Stack) -> None:
    assert until(lambda: small.ready() == 200, BACK_S)
    victim = triton(small)
    victim.suspend()
    try:
        begun = time.monotonic()
        answer = small.predict(wine(), headers={"X-Request-Timeout": "400"})
        assert answer.status_code in {503, 504}
        assert time.monotonic() - begun < 0.4 + SLACK_S
    finally:
        victim.resume()
    seconds_until(small, 200, BACK_S)


def test_requests_during_the_death_of_triton_get_a_clear_answer(small: Stack) -> None:
    assert until(lambda: small.ready() == 200, BACK_S)
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(small.predict, wine()) for _ in range(200)]
        triton(small).send_signal(signal.SIGKILL)
        answers = [each.result() for each in sent]
    assert {answer.status_code for answer in answers} <= {200, 503, 504}
    assert all("error" in each.json() for each in answers if each.status_code != 200)
    seconds_until(small, 200, BACK_S)


def test_the_gauge_of_a_version_follows(small: Stack) -> None:
    def gauge() -> float:
        return small.samples("tidegate_model_ready", model="wine")

    assert until(lambda: small.ready() == 200 and gauge() == 1, BACK_S)
    victim = triton(small)
    victim.suspend()
    try:
        assert until(lambda: gauge() == 0, 10)
    finally:
        victim.resume()
    assert until(lambda: gauge() == 1, BACK_S)


def test_a_model_that_does_not_load_leaves_the_others_up(lab: Gateway) -> None:
    assert "broken v1.0.0" not in ready_models(lab)
    answer = lab.model("broken", {"text": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "MODEL_UNAVAILABLE")
    assert lab.model("picky", {"text": "x"}).is_success
    assert lab.ready() == 503


def test_a_faulty_contract_is_left_out_loudly(lab: Gateway) -> None:
    assert lab.model("faulty", {"text": "x"}).status_code == 404
    assert "faulty" not in lab.client.get("/api/v1/models").text
    assert lab.samples("tidegate_contract_faults") == 1
    log = lab.run.log()
    assert "contract fault: version left out" in log
    assert "faulty/1/contract.yaml:13: " in log
    assert lab.model("picky", {"text": "x"}).is_success


def test_a_contract_that_disagrees_with_triton_is_left_out_loudly(lab: Gateway) -> None:
    assert "misread v1.0.0" not in ready_models(lab)
    assert lab.model("misread", {"text": "x"}).status_code == 503
    assert "the model has no output SCORE: it has LENGTH" in lab.run.log()
    assert until(lambda: lab.samples("tidegate_model_ready", model="misread") == 0, 10)


def test_a_control_plane_without_its_servers_starts_and_says_so(door: Door, tmp_path: Path) -> None:
    repository = str(copied_models(tmp_path, "wine_logistic"))
    with door(
        triton_urls="127.0.0.1:1", redis_url="redis://127.0.0.1:1/0", model_repository=repository
    ) as alone:
        assert alone.ready() == 503
        assert alone.client.get("/ready").json()["records"] == "down"
        assert alone.client.get("/healthz").status_code == 200
        answer = alone.predict(wine())
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "ADMISSION_UNAVAILABLE"


def test_a_control_plane_without_triton_says_so_and_takes_nothing_for_it(
    stack: Stack, door: Door, tmp_path: Path
) -> None:
    customer, repository = (
        stack.customer(month_units=9, overage="block"),
        copied_models(tmp_path, "wine_logistic"),
    )
    with door(triton_urls="127.0.0.1:1", model_repository=str(repository)) as alone:
        assert alone.ready() == 503
        assert until(lambda: alone.client.get("/ready").json()["records"] == "up", BACK_S)
        for _ in range(2):
            answer = alone.predict(wine(), headers=customer.headers)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "MODEL_UNAVAILABLE"
        answer = stack.model("wine", wine(), headers=customer.headers)
        assert answer.headers["x-quota-remaining"] == "8"
