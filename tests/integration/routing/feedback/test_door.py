"""POST /api/v1/feedback: who may say what, and how the answer looks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis
from litestar import Litestar
from litestar.types import Receive, Scope, Send

from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.principal import Kind, Principal
from control_plane.api.feedback import give_feedback
from control_plane.routing.feedback.kept import Kept
from control_plane.routing.feedback.sampler import Sampler
from control_plane.routing.feedback.service import Feedback
from control_plane.telemetry.exchange import Exchange
from control_plane.telemetry.ids import new_request_id
from control_plane.web.errors import on_error
from control_plane.web.query import known_query

LIMITS = Limits(requests=1, burst=1, concurrency=1)
LABELS = {"wine": ("good", "bad")}


class Door:
    """The handler behind the application's own error handler, for a caller of our choice."""

    def __init__(self, server: redis.Redis) -> None:
        self.tenant, self.kind, self.scopes = "acme", "key", ("predict:wine", "predict:house")
        self._sampler = Sampler(server, 100, 600)
        self._litestar = Litestar(
            route_handlers=[give_feedback],
            before_request=known_query,
            exception_handlers={Exception: on_error},
            openapi_config=None,
            logging_config=None,
        )
        feedback = Feedback(server, lambda model, _: LABELS.get(model), 2)
        self._litestar.state.services = SimpleNamespace(feedback=feedback)

    async def predicted(self, model: str = "wine", label: str | None = "good") -> str:
        request_id = new_request_id()
        assert self._sampler.offer("acme", request_id, Kept(model, "v1.0.0", label))
        await self._sampler.write()
        return request_id

    async def post(self, content: Any, **settings: Any) -> httpx.Response:
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        headers = {"content-type": "application/json"}
        transport = httpx.ASGITransport(self)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.post(
                "/api/v1/feedback", content=body, **({"headers": headers} | settings)
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind: Kind = self.kind  # type: ignore[assignment]
        scope.setdefault("state", {}).update(
            principal=Principal(
                kind, f"t:{self.tenant}", self.tenant, "k:one", "pro", LIMITS, self.scopes
            ),
            exchange=Exchange("req_1", None, "POST", time.perf_counter()),
        )
        await self._litestar(scope, receive, send)


@pytest.fixture
async def door(redis_url: str) -> AsyncIterator[Door]:
    async with redis.Redis.from_url(redis_url) as server:
        yield Door(server)


async def test_a_label_is_answered_with_whether_it_was_right(door: Door) -> None:
    request_id = await door.predicted()
    answer = await door.post({"request_id": request_id, "label": "good"})
    assert answer.status_code == 200
    assert answer.json() == {
        "request_id": request_id,
        "model": "wine",
        "model_version": "v1.0.0",
        "prediction": "good",
        "correct": True,
        "replaced": False,
    }
    answer = await door.post({"request_id": request_id, "label": "bad"})
    assert (answer.json()["correct"], answer.json()["replaced"]) == (False, True)


async def test_a_score_is_answered_as_it_was_given(door: Door) -> None:
    request_id = await door.predicted("house", None)
    answer = await door.post({"request_id": request_id, "score": 0.3})
    assert answer.json() == {
        "request_id": request_id,
        "model": "house",
        "model_version": "v1.0.0",
        "prediction": None,
        "score": 0.3,
        "replaced": False,
    }


async def test_a_caller_without_credentials_is_asked_for_them(door: Door) -> None:
    request_id = await door.predicted()
    door.kind, door.tenant = "anonymous", ""
    answer = await door.post({"request_id": request_id, "label": "good"})
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_the_scope_of_the_model_is_needed(door: Door) -> None:
    request_id = await door.predicted()
    door.scopes = ("predict:house", "jobs")
    answer = await door.post({"request_id": request_id, "label": "good"})
    assert answer.status_code == 403
    assert answer.json()["error"]["details"] == {"scope": "predict:wine"}


async def test_another_tenant_s_prediction_and_none_look_the_same(door: Door) -> None:
    request_id = await door.predicted()
    door.tenant = "other"
    answers = [
        await door.post({"request_id": one, "label": "good"})
        for one in (request_id, new_request_id())
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()


async def test_too_many_in_a_day_are_told_when_to_come_again(door: Door) -> None:
    for status in (200, 200, 429):
        answer = await door.post({"request_id": await door.predicted(), "score": 1})
        assert answer.status_code == status
    assert answer.json()["error"]["code"] == "RATE_LIMITED"
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"label": None, "score": None}, "/label"),
        ({}, ""),
        ({"label": "good", "score": 1}, ""),
        ({"label": "excellent"}, "/label"),
        ({"label": ""}, "/label"),
        ({"label": "x" * 257}, "/label"),
        ({"label": 3}, "/label"),
        ({"score": 1.01}, "/score"),
        ({"score": -0.01}, "/score"),
        ({"score": "1"}, "/score"),
        ({"score": True}, "/score"),
        ({"score": None}, "/score"),
        ({"label": "good", "more": 1}, "/more"),
        ({"label": "good", "request_id": 3}, "/request_id"),
        ({"label": "good", "request_id": "req_1"}, "/request_id"),
        ({"label": "good", "request_id": "req_" + "0" * 32 + "\n"}, "/request_id"),
    ],
)
async def test_what_is_wrong_with_a_body_is_told(
    door: Door, change: dict[str, Any], path: str
) -> None:
    answer = await door.post({"request_id": await door.predicted()} | change)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["path"] == path


async def test_a_label_of_a_model_without_labels_is_refused(door: Door) -> None:
    answer = await door.post({"request_id": await door.predicted("house", None), "label": "good"})
    assert answer.status_code == 422
    assert "give a score" in answer.text


@pytest.mark.parametrize(
    ("content", "settings", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b'{"score": NaN}', {}, 400),
        (b"[" * 4000, {}, 400),
        (b"[]", {}, 422),
        (b'"' + b"x" * 5000 + b'"', {}, 413),
        (b"{}", {"headers": {"content-type": "text/plain"}}, 415),
        (b"{}", {"params": {"force": "1"}}, 400),
    ],
)
async def test_what_is_no_body_is_refused(
    door: Door, content: bytes, settings: dict[str, Any], status: int
) -> None:
    answer = await door.post(content, **settings)
    assert answer.status_code == status
    assert answer.json()["error"]["code"]
