"""Which prediction a path means, and which API major answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.asked import PredictRoute, _negotiate, match, read
from control_plane.errors import TidegateError

JSON = b"application/json"
V1 = b"application/vnd.tidegate.v1+json"
V2 = b"application/vnd.tidegate.v2+json"
UNVERSIONED = PredictRoute("/api/predict", 0)


@pytest.mark.parametrize(
    ("path", "template", "major", "model"),
    [
        ("/api/v1/predict", "/api/v1/predict", 1, None),
        ("/api/v2/predict", "/api/v2/predict", 2, None),
        ("/api/predict", "/api/predict", 0, None),
        ("/api/v1/models/house/predict", "/api/v1/models/{model}/predict", 1, "house"),
        ("/api/v2/models/house/predict", "/api/v2/models/{model}/predict", 2, "house"),
        ("/api/v1/models/predict/predict", "/api/v1/models/{model}/predict", 1, "predict"),
    ],
)
def test_a_path_of_a_prediction_is_known(
    path: str, template: str, major: int, model: str | None
) -> None:
    assert match("POST", path) == PredictRoute(template, major, model)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/predict", "/api/v3/predict", "/api/v1/predict/", "/api/v1/models/predict",
     "/api/v1/models//predict", "/api/v1/models/a/b/predict", "/api/v3/models/a/predict",
     "/api/v1/models/a/predictx", "/api/v1/models/a/PREDICT", "/API/v1/predict", "api/v1/predict",
     "/api/models/a/predict", "/api/v1/modelsa/predict", "/api/v1/predict\n"],
)  # fmt: skip
def test_any_other_path_means_something_else(path: str) -> None:
    assert match("POST", path) is None


@pytest.mark.parametrize(
    ("method", "path", "template", "model"),
    [
        ("POST", "/api/v1/jobs", "/api/v1/jobs", None),
        ("POST", "/api/v1/models/house/jobs", "/api/v1/models/{model}/jobs", "house"),
        ("PUT", "/api/v1/models/house/jobs", "/api/v1/models/{model}/jobs", "house"),
    ],
)
def test_a_path_of_a_submission_is_known(
    method: str, path: str, template: str, model: str | None
) -> None:
    assert match(method, path) == PredictRoute(template, 1, model, is_job=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/jobs"), ("POST", "/api/v2/jobs"), ("POST", "/api/v1/models//jobs"),
     ("POST", "/api/v1/models/a/b/jobs"), ("POST", "/api/v2/models/a/jobs"), ("POST", "/jobs"),
     ("POST", "/api/v1/jobs/"), ("POST", "/api/v1/models/jobs")],
)  # fmt: skip
def test_what_is_no_submission_goes_elsewhere(method: str, path: str) -> None:
    assert match(method, path) is None


@pytest.mark.parametrize(
    ("route", "headers", "body", "is_plain"),
    [
        (UNVERSIONED, {}, b'{"inputs": {}}', True),
        (UNVERSIONED, {}, b'{"inputs": {}, "options": {"async": false}}', True),
        (UNVERSIONED, {}, b'{"inputs": {}, "options": {"async": true}}', False),
        (UNVERSIONED, {b"prefer": b"wait=1"}, b'{"inputs": {}}', False),
        (UNVERSIONED, {b"idempotency-key": b"k"}, b'{"inputs": {}}', False),
        (PredictRoute("/api/v1/jobs", 1, is_job=True), {}, b'{"inputs": {}}', False),
    ],
)
async def test_what_asks_for_more_than_an_answer_is_not_plain(
    route: PredictRoute,
    headers: dict[bytes, bytes],
    body: bytes,
    is_plain: bool,  # noqa: FBT001 - a case
) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    scope: Any = {"method": "POST", "query_string": b""}
    limits = SimpleNamespace(max_body_bytes=100)
    services: Any = SimpleNamespace(settings=limits)
    caller: Any = SimpleNamespace(limits=limits)
    asked = await read(services, caller, route, scope, {b"content-type": JSON, **headers}, receive)
    assert asked.is_plain is is_plain


@given(st.text(max_size=40))
def test_the_template_never_repeats_what_a_client_sent(name: str) -> None:
    route = match("POST", f"/api/v1/models/{name}/predict")
    if "/" in name or not name:
        assert route is None
    else:
        assert route == PredictRoute("/api/v1/models/{model}/predict", 1, name)


@pytest.mark.parametrize(
    ("accept", "major", "media_type"),
    [
        (None, 1, JSON),
        (b"*/*", 1, JSON),
        (b"application/json", 1, JSON),
        (V1, 1, V1),
        (V2, 2, V2),
        (V2.upper(), 2, V2),
        (V2 + b"; q=0.9, */*", 2, V2),
        (b"application/vnd.tidegate.v9+json, " + V2, 2, V2),
        (b"application/vnd.tidegate.v9+json, application/json", 1, JSON),
        (b"application/vnd.tidegate.v9+json, */*;q=0.1", 1, JSON),
        (V1 + b";q=0.1, " + V2, 2, V2),
        (V2 + b";q=0, application/json", 1, JSON),
        (b"\xff", 1, JSON),
    ],
)
def test_accept_chooses_the_major_of_the_unversioned_path(
    accept: bytes | None, major: int, media_type: bytes
) -> None:
    headers = {} if accept is None else {b"accept": accept}
    assert _negotiate(UNVERSIONED, headers) == (major, media_type)


@pytest.mark.parametrize("number", [b"0", b"3", b"999999"])
def test_a_major_that_does_not_exist_is_not_acceptable(number: bytes) -> None:
    with pytest.raises(TidegateError) as caught:
        _negotiate(UNVERSIONED, {b"accept": b"application/vnd.tidegate.v%s+json" % number})
    assert caught.value.status == 406
    assert caught.value.details["available"] == [V1.decode(), V2.decode()]


@pytest.mark.parametrize("major", [1, 2])
@pytest.mark.parametrize("accept", [b"", V1, V2, b"text/html"])
def test_a_path_with_a_major_is_not_negotiated(major: int, accept: bytes) -> None:
    route = PredictRoute(f"/api/v{major}/predict", major)
    assert _negotiate(route, {b"accept": accept}) == (major, JSON)


async def test_a_body_in_chunks_has_its_real_size() -> None:
    messages = [
        {"type": "http.request", "body": b'{"inputs": ', "more_body": True},
        {"type": "http.request", "body": b"{}}", "more_body": False},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    scope: Any = {"method": "POST", "query_string": b""}
    limits = SimpleNamespace(max_body_bytes=100)
    services: Any = SimpleNamespace(settings=limits)
    caller: Any = SimpleNamespace(limits=limits)
    headers = {b"content-type": JSON}
    asked = await read(services, caller, UNVERSIONED, scope, headers, receive)
    assert (asked.size, asked.sent) == (14, {"inputs": {}})
