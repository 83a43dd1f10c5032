"""Several Tritons, several processes, and a stop that nobody notices."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.integration.local.processes import await_gone, eventually, gone
from tests.stack import LAB_MODELS, Door, Gateway, Triton, copied_models, started_triton, until

PATIENCE_S = 30.0


@pytest.fixture
def second_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    repository = copied_models(tmp_path_factory.mktemp("second"), "picky", source=LAB_MODELS)
    with started_triton(tmp_path_factory.mktemp("second-data"), repository) as started:
        yield started


def counts(*tritons: Triton) -> list[int]:
    urls = [f"http://{each.http}/v2/models/picky/versions/1/stats" for each in tritons]
    return [int(httpx.get(url).json()["model_stats"][0]["inference_count"]) for url in urls]


def test_calls_spread_over_two_tritons_and_go_to_the_one_that_lives(
    door: Door, lab_triton: Triton, second_triton: Triton
) -> None:
    urls = f"{lab_triton.grpc},{second_triton.grpc}"
    with door(triton_urls=urls, default_model="picky", health_interval_s="60") as both:
        assert until(lambda: both.ready() == 200, PATIENCE_S)
        before = counts(lab_triton, second_triton)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: both.predict({"text": "x"}), range(80)))
            after = counts(lab_triton, second_triton)
            shares = [late - early for early, late in zip(before, after, strict=True)]
            assert sum(shares) == 80
            assert min(shares) >= 10
        kill_triton(second_triton)
        # Nothing has looked at its health since: each call finds out by itself.
        answers = [both.predict({"text": "x"}) for _ in range(20)]
        assert Counter(answer.status_code for answer in answers) == {200: 20}
        assert both.ready() == 200


def kill_triton(triton: Triton) -> None:
    """Kill the server; its supervisor starts another, which nobody looks at."""
    below = psutil.Process(triton.run.pid).children()
    server = next(each for each in below if "tritonserver" in each.name())
    server.kill()
    await_gone([server])


def sleep(gateway: Gateway, ms: int, label: str) -> httpx.Response:
    return gateway.model("sleeper", {"ms": ms, "label": label})


def test_a_stop_lets_requests_finish_and_takes_no_more(door: Door, lab_triton: Triton) -> None:
    label, journal = uuid.uuid4().hex, lab_triton.repository / "sleeper" / "journal"
    with door(drain_delay_s="0.8", default_model="sleeper") as leaving:
        assert until(lambda: leaving.ready() == 200, PATIENCE_S)
        below = leaving.run.descendants()
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(sleep, leaving, 2800, label)
            assert until(lambda: journal.exists() and label in journal.read_text(), PATIENCE_S)
            leaving.run.signal(signal.SIGTERM)
            assert until(lambda: leaving.ready() == 503, PATIENCE_S)
            assert leaving.client.get("/ready").json()["status"] == "draining"
            assert leaving.client.get("/healthz").status_code == 200
            assert until(lambda: not connects(leaving), PATIENCE_S)
            assert not slow.done()
            assert slow.result().status_code == 200
        assert leaving.run.wait() == 0
        await_gone(below)


def connects(gateway: Gateway) -> bool:
    try:
        return httpx.get(f"{gateway.http}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def test_a_request_that_outlasts_the_drain_is_told_so(door: Door) -> None:
    with door(drain_s="1", default_model="sleeper") as leaving:
        assert until(lambda: leaving.ready() == 200, PATIENCE_S)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(sleep, leaving, 2900, "slow")
            assert until(lambda: sleeping(leaving), PATIENCE_S)
            leaving.run.signal(signal.SIGTERM)
            assert leaving.run.wait() == 0
            answer = slow.result()
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "MODEL_UNAVAILABLE"


def sleeping(gateway: Gateway) -> bool:
    """True when a second request finds the model busy."""
    headers = {"X-Request-Timeout": "50"}
    answer = gateway.model("sleeper", {"ms": 0, "label": "probe"}, headers=headers)
    return answer.status_code == 504


@pytest.fixture(scope="module")
def two(door: Door) -> Iterator[Gateway]:
    with door("--workers", "2", default_model="picky") as started:
        for _ in range(10):  # a connection each, so that both workers have answered
            assert until(lambda: fresh_ready(started), PATIENCE_S)
        yield started


def fresh_ready(gateway: Gateway) -> bool:
    """On a connection of its own; while no worker is ready there may be none."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{gateway.http}/ready", timeout=PATIENCE_S).status_code == 200
    return False


def test_metrics_cover_all_processes_and_nothing_tells_what_was_asked(two: Gateway) -> None:
    secret, own = f"secret{uuid.uuid4().hex}", f"mine-{uuid.uuid4().hex}"
    name = "tidegate_request_duration_seconds_count"
    before = two.samples(name, model="picky")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(two, secret, own), range(60)))
    assert {answer.status_code for answer in answers} == {200}
    faults = two.samples("tidegate_errors_total", code="INVALID_INPUT")
    bad = two.model("picky", {"text": secret, secret: secret}, headers={"X-Request-ID": own})
    assert bad.status_code == 422
    assert until(lambda: two.samples(name, model="picky", status="200") == before + 60, 10)
    assert two.samples("tidegate_errors_total", code="INVALID_INPUT") == faults + 1
    lines = eventually(lambda: access_lines(two, own, 61), two.run.log)
    check_access_line(next(line for line in lines if line["status"] == 200))
    written = "\n".join([*two.run.output, *two.run.errors, two.scrape()])
    assert secret not in written


def test_the_public_port_has_no_metrics(two: Gateway) -> None:
    assert two.client.get("/metrics").status_code == 404
    assert httpx.post(f"{two.admin}/api/v1/predict", json={}).status_code == 404


def test_a_worker_that_dies_comes_back_and_the_counters_stay(two: Gateway) -> None:
    name = "tidegate_request_duration_seconds_count"
    before = two.samples(name)
    for worker in workers(two):
        below = worker.pid
        worker.kill()
        assert until(lambda: len(workers(two)) == 2 and below not in pids(two), PATIENCE_S)  # noqa: B023
    assert until(lambda: fresh_ready(two), PATIENCE_S)
    assert two.samples(name) >= before


def workers(two: Gateway) -> list[psutil.Process]:
    below = psutil.Process(two.run.pid).children()
    return [each for each in below if not gone(each) and "http" in each.cmdline()]


def pids(two: Gateway) -> set[int]:
    return {each.pid for each in workers(two)}


def ask(gateway: Gateway, text: str, own: str) -> httpx.Response:
    """On a connection of its own, so that both workers get some."""
    body = {"inputs": {"text": text}}
    headers = {"X-Request-ID": own, "Authorization": gateway.crowd.header()}
    return httpx.post(f"{gateway.http}/api/v1/predict", json=body, headers=headers, timeout=30)


def access_lines(gateway: Gateway, own: str, count: int) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in gateway.run.output if own in line]
    return lines if len(lines) >= count else []


def check_access_line(line: dict[str, object]) -> None:
    """Ids, model, version, status, timings, whose it is and what it cost; no payload."""
    assert line.keys() >= {
        "time", "event", "request_id", "client_request_id", "method", "route", "status",
        "duration_ms", "model", "model_version", "admission_ms", "queue_ms", "inference_ms",
        "shared", "tenant", "client", "units",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", str(line["time"]))
    assert (line["route"], line["model"], line["model_version"]) == (
        "/api/v1/predict", "picky", "v1.0.0",
    )  # fmt: skip
    assert (line["tenant"], line["units"]) == ("demo", 1)
    assert re.fullmatch("k:[a-z2-7]{12}", str(line["client"]))
