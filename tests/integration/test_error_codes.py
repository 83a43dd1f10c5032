"""Each code of the catalogue, provoked; and nothing internal in any error."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from control_plane.app import create_app
from control_plane.environment import load_settings
from control_plane.error_codes import CATALOGUE
from control_plane.routing.state import ModelState, VersionState
from control_plane.telemetry.metrics import Metrics
from control_plane.types import Life
from tests.stack import Door, Gateway, Stack, Triton, environment, until

Case = Callable[..., httpx.Response]
HEADERS = {"Accept": "application/json"}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|/opt/|/root/|/tmp/|/home/|site-packages|127\.0\.0\.1|"
    r"localhost|10\.1\.2\.3|triton|grpc|redis|valkey|worker|pid",
    re.IGNORECASE,
)
IN_PROCESS = {"INTERNAL", "MODEL_VERSION_RETIRED"}
"""Codes that no running deployment can be made to answer (yet): the application is made to."""


def picky(lab: Gateway, headers: dict[str, str], text: str = "x", **body: Any) -> httpx.Response:
    return lab.model("picky", {"text": text}, headers={**HEADERS, **headers}, **body)


def raw(
    lab: Gateway,
    headers: dict[str, str],
    content: bytes = b"",
    *,
    method: str = "POST",
    path: str = "/api/v1/models/picky/predict",
    media_type: str = "application/json",
) -> httpx.Response:
    sent = {**HEADERS, "Content-Type": media_type, **headers}
    return lab.client.request(method, path, headers=sent, content=content)


def as_customer(
    lab: Gateway, headers: dict[str, str], *scopes: str, count: int = 1, **limits: Any
) -> httpx.Response:
    """The last answer to some requests of a tenant of its own."""
    key = lab.customer(*scopes, **limits).headers
    return [picky(lab, {**headers, **key}) for _ in range(count)][-1]


def offend(lab: Gateway, headers: dict[str, str]) -> httpx.Response:
    """The answer to one error too many."""
    key = lab.customer().headers
    for _ in range(100):
        answer = picky(lab, {**headers, **key}, text="")
        if answer.status_code != 422:
            break
    return answer


def at_once(lab: Gateway, headers: dict[str, str]) -> httpx.Response:
    """The answer to one of two requests of a tenant that may have one in flight."""
    sent = {**HEADERS, **headers, **lab.customer(concurrency=1).headers}
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(lab.model, "sleeper", {"ms": 1500, "label": "x"}, headers=sent)
            for _ in range(2)
        ]
        return max((call.result() for call in calls), key=lambda answer: answer.status_code)


def job(lab: Gateway, headers: dict[str, str], **body: Any) -> httpx.Response:
    """The answer to a job that waits for an hour."""
    sent = {"inputs": {"text": "x"}, "start_after_s": 3600, **body}
    return lab.client.post("/api/v1/models/picky/jobs", json=sent, headers={**HEADERS, **headers})


def ended_otherwise(lab: Gateway, headers: dict[str, str]) -> httpx.Response:
    """The answer to a cancellation that comes after the job has expired."""
    key = lab.customer("predict", "jobs").headers
    job_id = job(lab, {**key, "Cancel-After": "1s"}).json()["job_id"]

    def cancel() -> httpx.Response:
        path = f"/api/v1/jobs/{job_id}"
        return lab.client.post(f"{path}/cancel", headers={**HEADERS, **headers, **key})

    def has_expired() -> bool:
        shown = lab.client.get(f"/api/v1/jobs/{job_id}", headers=key).json()
        return bool(shown["status"] == "expired")

    assert until(has_expired, 30)
    return cancel()


def other_under_the_key(lab: Gateway, headers: dict[str, str]) -> httpx.Response:
    """The answer to a second request under one idempotency key."""
    sent = {**headers, **lab.customer("predict", "jobs").headers, "Idempotency-Key": "k"}
    assert job(lab, sent).status_code == 202
    return job(lab, sent, start_after_s=7200)


def same_at_once(lab: Gateway, headers: dict[str, str]) -> httpx.Response:
    """The answer to one of two equal requests under one idempotency key."""
    sent = {**HEADERS, **headers, **lab.customer().headers, "Idempotency-Key": "k"}
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(lab.model, "sleeper", {"ms": 1500, "label": "x"}, headers=sent)
            for _ in range(2)
        ]
        return max((call.result() for call in calls), key=lambda answer: answer.status_code)


def upload(
    lab: Gateway, headers: dict[str, str], content: bytes, *, gone: bool = False, **wish: Any
) -> httpx.Response:
    """The answer to an object that is put a second time if the first time is good."""
    key = lab.customer("uploads").headers
    body = {"filename": "x", "content_type": "text/plain", "size": len(content), **wish}
    made = lab.client.post("/api/v1/uploads", json=body, headers=key).json()
    if gone:
        lab.client.delete(f"/api/v1/uploads/{made['upload_id']}", headers=key)
    address = made["upload"]
    sent = {**HEADERS, **headers, **address["headers"], **lab.elsewhere()}
    first = lab.anonymous.put(address["url"], content=content, headers=sent)
    if first.status_code != 201:
        return first
    return lab.anonymous.put(address["url"], content=content, headers=sent)


CASES: dict[str, Case] = {
    "MALFORMED_REQUEST": lambda lab, h: raw(lab, h, content=b"{"),
    "INVALID_PARAMETER": lambda lab, h: picky(lab, {**h, "X-Request-Timeout": "soon"}),
    "VERSION_CONFLICT": lambda lab, h: picky(
        lab, {**h, "X-Model-Version": "v1"}, model_version="stable"
    ),
    "MODEL_CONFLICT": lambda lab, h: picky(lab, h, model="sleeper"),
    "MODEL_REQUIRED": lambda lab, h: lab.predict({"text": "x"}, headers={**HEADERS, **h}),
    "UNAUTHENTICATED": lambda lab, h: lab.anonymous.post(
        "/api/v1/models/picky/predict", headers={**HEADERS, **h}, json={"inputs": {"text": "x"}}
    ),
    "FORBIDDEN": lambda lab, h: as_customer(lab, h, "predict:sleeper"),
    "NOT_FOUND": lambda lab, h: raw(lab, h, method="GET", path="/nowhere"),
    "MODEL_NOT_FOUND": lambda lab, h: lab.model("nose", {}, headers={**HEADERS, **h}),
    "MODEL_VERSION_NOT_FOUND": lambda lab, h: picky(lab, h, model_version="v9"),
    "METHOD_NOT_ALLOWED": lambda lab, h: raw(lab, h, method="PUT", content=b"{}"),
    "PAYLOAD_TOO_LARGE": lambda lab, h: raw(lab, h, content=b" " * 2_000_000),
    "UNSUPPORTED_MEDIA_TYPE": lambda lab, h: raw(lab, h, b"{}", media_type="text/plain"),
    "INVALID_INPUT": lambda lab, h: picky(lab, h, text=""),
    "RATE_LIMITED": lambda lab, h: as_customer(lab, h, count=2, requests=1, window_s=3600, burst=1),
    "CONCURRENCY_LIMITED": at_once,
    "QUOTA_EXCEEDED": lambda lab, h: as_customer(lab, h, count=2, day_units=1, overage="block"),
    "TEMPORARILY_BLOCKED": offend,
    "JOB_ENDED": ended_otherwise,
    "IDEMPOTENCY_CONFLICT": other_under_the_key,
    "IDEMPOTENCY_IN_PROGRESS": same_at_once,
    "ADDRESS_REFUSED": lambda lab, h: job(lab, h, webhook_url="https://10.0.0.1/"),
    "UPLOAD_CONFLICT": lambda lab, h: upload(lab, h, b"x"),
    "UPLOAD_EXPIRED": lambda lab, h: upload(lab, h, b"x", gone=True),
    "OBJECT_UNUSABLE": lambda lab, h: upload(lab, h, b"x", sha256="0" * 64),
    "NOT_AVAILABLE": lambda lab, h: picky(lab, h, options={"explain": True}),
    "MODEL_FAILED": lambda lab, h: picky(lab, h, text="crash"),
    "MODEL_UNAVAILABLE": lambda lab, h: lab.model(
        "broken", {"text": "x"}, headers={**HEADERS, **h}
    ),
    "DEADLINE_EXCEEDED": lambda lab, h: lab.model(
        "sleeper", {"ms": 500, "label": "x"}, headers={**HEADERS, "X-Request-Timeout": "50", **h}
    ),
}
ELSEWHERE = {
    "OVERLOADED", "NOT_ACCEPTABLE", "HEADERS_TOO_LARGE", "ADMISSION_UNAVAILABLE",
    "ALREADY_EXISTS", "REVISION_CONFLICT", "LIFE_CONFLICT", "CONTRACT_BREAKING",
    "VERSION_NOT_READY", "UPLOADS_UNAVAILABLE", "TOO_MANY_OPEN", "TOO_MANY_JOBS",
    "JOBS_UNAVAILABLE", "WORKER_LOST",
}  # fmt: skip
"""Tested below, with raw bytes, at the operators' API, or with jobs: they need a setting, a server
that is away, a worker that is lost, or what no client of the public API would send."""


def check(code: str, answer: httpx.Response, *, problem: bool) -> None:
    """The envelope's shape, and that it says nothing internal."""
    status = CATALOGUE[code].status
    assert answer.status_code == status, answer.text
    body = answer.json()
    error = body if problem else body["error"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert TIMESTAMP.fullmatch(error["timestamp"])
    assert isinstance(error["details"], dict)
    expected = "application/problem+json" if problem else "application/json"
    assert answer.headers["content-type"] == expected
    if problem:
        assert error["status"] == status
        assert error["title"] == CATALOGUE[code].summary
        assert error["type"].startswith("urn:tidegate:error:")
    assert LEAKS.search(error.get("message", error.get("detail"))) is None or code in {
        "MODEL_UNAVAILABLE",
    }, answer.text
    assert not re.search(r"Traceback|\.py\b|/opt/|127\.0\.0\.1|10\.1\.2\.3", answer.text)
    if status in {429, 503}:
        assert int(answer.headers["retry-after"]) >= 1


def test_every_code_of_the_catalogue_has_a_case() -> None:
    assert CASES.keys() | IN_PROCESS | ELSEWHERE == CATALOGUE.keys()


@pytest.mark.parametrize("problem", [False, True], ids=["envelope", "problem"])
@pytest.mark.parametrize("code", CASES)
def test_a_code_is_answered_in_the_envelope(lab: Gateway, code: str, *, problem: bool) -> None:
    headers = {"Accept": "application/problem+json"} if problem else {}
    before = lab.samples("tidegate_errors_total", code=code)
    check(code, CASES[code](lab, headers), problem=problem)
    assert until(lambda: lab.samples("tidegate_errors_total", code=code) == before + 1, 10)


def test_a_major_that_does_not_exist_is_not_acceptable(lab: Gateway) -> None:
    answer = lab.predict(
        {}, "/api/predict", {"Accept": "application/vnd.tidegate.v7+json"}, model="picky"
    )
    check("NOT_ACCEPTABLE", answer, problem=False)


def test_one_more_than_may_wait_is_told_to_come_back_and_others_are_answered(door: Door) -> None:
    with door(max_waiting="1", calls_in_flight="1") as small:
        assert until(lambda: small.model("sleeper", {"ms": 0, "label": "x"}).is_success, 30)
        with ThreadPoolExecutor(8) as pool:
            sent = [
                pool.submit(small.model, "sleeper", {"ms": 400, "label": "x"}) for _ in range(8)
            ]
            answers = [each.result() for each in sent]
            other = small.model("picky", {"text": "lovely"})
        assert other.json()["prediction"] == 6
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 2 <= len(answers) - len(refused) <= 4
        for answer in refused:
            check("OVERLOADED", answer, problem=False)
        assert small.model("sleeper", {"ms": 0, "label": "x"}).is_success


def test_a_full_queue_in_triton_is_overloaded_too(door: Door) -> None:
    with door(calls_in_flight="64") as wide:
        assert until(lambda: wide.model("sleeper", {"ms": 0, "label": "x"}).is_success, 30)
        with ThreadPoolExecutor(32) as pool:
            sent = [
                pool.submit(wide.model, "sleeper", {"ms": 100, "label": "x"}) for _ in range(32)
            ]
            answers = [each.result() for each in sent]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(refused) >= 8
        for answer in refused:
            check("OVERLOADED", answer, problem=False)


def test_without_the_store_nothing_is_known_of_objects(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    store = {"uploads_store": "s3://bucket", "uploads_endpoint": "http://127.0.0.1:1"}
    with door(**store, uploads_open_per_tenant="1") as lost:
        key = lost.customer("uploads").headers
        wish = {"filename": "x", "content_type": "text/plain", "size": 1}
        made = lost.client.post("/api/v1/uploads", json=wish, headers=key).json()
        answer = lost.client.get(f"/api/v1/uploads/{made['upload_id']}", headers=key)
        check("UPLOADS_UNAVAILABLE", answer, problem=False)
        second = lost.client.post("/api/v1/uploads", json=wish, headers=key)
        check("TOO_MANY_OPEN", second, problem=False)


def test_without_the_records_it_is_not_known_who_may_call(door: Door) -> None:
    with door(redis_url="redis://127.0.0.1:1/0") as lost:
        check("ADMISSION_UNAVAILABLE", picky(lost, {}), problem=False)
        assert lost.client.get("/healthz").is_success


async def test_codes_that_no_deployment_answers_yet(stack: Stack, lab_triton: Triton) -> None:
    settings = load_settings(
        environment(
            triton_urls=lab_triton.grpc,
            model_repository=str(lab_triton.repository),
            **stack.shared,
        )
    )
    app = create_app(
        settings,
        metrics=Metrics(CollectorRegistry()),
        draining=threading.Event(),
        access_log=None,
    )
    async with app.litestar.lifespan():
        pipeline = app.litestar.state.services.pipeline
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            client.headers["authorization"] = stack.crowd.header()
            request = {"json": {"inputs": {"text": "x"}}}
            gone = VersionState(life=Life.RETIRED, since=1)
            state = ModelState(name="picky", versions={"v1.0.0": gone})
            pipeline.offer.follow({"picky": state})
            chosen = {"x-model-version": "v1.0.0"}
            path = "/api/v1/models/picky/predict"
            answer = await client.post(path, headers=chosen, **request)
            check("MODEL_VERSION_RETIRED", answer, problem=False)
            pipeline.offer.router = "broken at 10.1.2.3 in /opt/secret/model.py"
            for path in ("/api/v1/models/picky/predict", "/api/v2/models/picky/predict"):
                check("INTERNAL", await client.post(path, **request), problem=False)
            check("INTERNAL", await client.get("/api/v1/models"), problem=False)
