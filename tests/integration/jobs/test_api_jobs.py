"""The public door of jobs: submitted, awaited, read, listed, canceled."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from control_plane.jobs.identifiers import JOB
from tests.stack import Customer, Stack, until

INPUTS = {"text": "The room was lovely"}
SCOPES = ("predict", "jobs")


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    """A tenant whose keys may predict and have jobs."""
    return stack.customer(*SCOPES)


@pytest.fixture
def headers(stack: Stack, customer: Customer) -> dict[str, str]:
    """A key of its own for each test: who sends bad requests is slowed down."""
    return {"authorization": f"Bearer {stack.new_key(customer.tenant, *SCOPES)}"}


class Door:
    """Requests of one key."""

    def __init__(self, stack: Stack, headers: dict[str, str]) -> None:
        self._client, self._headers = stack.anonymous, headers

    def submit(self, path: str = "/api/v1/jobs", prefer: str = "", **body: Any) -> httpx.Response:
        more = {"prefer": prefer} if prefer else {}
        return self.send("POST", path, {"inputs": INPUTS, **body}, **more)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {**self._headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        more = {} if body is None else {"json": body}
        return self._client.request(method, path, headers=sent, **more)

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended."""
        shown: dict[str, Any] = {}

        def has_ended() -> bool:
            shown.update(self.send("GET", f"/api/v1/jobs/{job_id}").json())
            return shown["status"] not in {"pending", "processing"}

        assert until(has_ended, 30), shown
        return shown


@pytest.fixture
def door(stack: Stack, headers: dict[str, str]) -> Door:
    """The door as the customer sees it."""
    return Door(stack, headers)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_job_is_accepted_and_its_result_is_the_synchronous_answer(door: Door) -> None:
    accepted = door.submit()
    assert accepted.status_code == 202, accepted.text
    shown = accepted.json()
    assert JOB.fullmatch(shown["job_id"])
    assert accepted.headers["location"] == f"/api/v1/jobs/{shown['job_id']}"
    assert accepted.headers["retry-after"] == "1"
    assert (shown["status"], shown["progress"], shown["units"]) == ("pending", 0, 1)
    job = door.ended(shown["job_id"])
    expected = door.send("POST", "/api/v1/predict", {"inputs": INPUTS}).json()
    assert (job["status"], job["progress"], job["attempts"]) == ("completed", 100, 1)
    assert {**job["result"], "request_id": ""} == {**expected, "request_id": ""}
    assert job["result"]["request_id"] == accepted.headers["x-request-id"]


@pytest.mark.parametrize(
    "path", ["/api/v1/predict", "/api/v2/predict", "/api/predict", "/api/v1/models/wine/predict",
             "/api/v2/models/sentiment/predict"],
)  # fmt: skip
def test_a_prediction_may_be_asked_for_as_a_job(door: Door, path: str) -> None:
    if "wine" in path:
        wine = door.send("GET", "/api/v1/models/wine/schema").json()["examples"][0]
        body: dict[str, Any] = {"inputs": wine}
    else:
        body = {"inputs": INPUTS}
    accepted = door.send("POST", path, {**body, "options": {"async": True}})
    assert accepted.status_code == 202, accepted.text
    at_once = door.send("POST", path, body)
    awaited = door.send("POST", path, body, prefer="respond-async, wait=30")
    assert awaited.status_code == 200, awaited.text
    assert awaited.headers["preference-applied"] == "respond-async, wait=30"
    assert awaited.headers["content-type"] == at_once.headers["content-type"]
    assert awaited.headers["x-model-version"] == at_once.headers["x-model-version"]
    job = door.ended(accepted.json()["job_id"])
    changing = {"request_id", "timing"}
    shown = [{name: value for name, value in each.items() if name not in changing}
             for each in (at_once.json(), awaited.json(), job["result"])]  # fmt: skip
    assert shown[0] == shown[1] == shown[2]


def test_a_preference_for_a_job_is_ignored_where_there_can_be_none(stack: Stack) -> None:
    for headers in ({}, stack.customer("predict").headers):
        answer = stack.anonymous.post(
            "/api/v1/predict", json={"inputs": INPUTS},
            headers={**headers, "prefer": "respond-async, wait=5"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        assert "preference-applied" not in answer.headers
        assert "location" not in answer.headers


def test_wait_alone_on_a_submission_answers_the_finished_job(door: Door) -> None:
    answer = door.submit(prefer="wait=30")
    assert answer.status_code == 200, answer.text
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.json()["status"] == "completed"
    assert answer.json()["result"]["prediction"] == "positive"


def test_a_job_that_does_not_end_in_time_is_answered_202(door: Door) -> None:
    began = time.monotonic()
    answer = door.submit(prefer="wait=1", start_after_s=3600)
    assert answer.status_code == 202
    assert time.monotonic() - began >= 1
    assert answer.json()["status"] == "pending"


def test_a_batch_has_a_result_or_an_error_for_each_item(door: Door) -> None:
    answer = door.submit(
        prefer="wait=30", task="batch", inputs=[INPUTS, {"text": 5}, {"text": "awful"}]
    )
    job = answer.json()
    assert job["status"] == "completed", answer.text
    assert [item["index"] for item in job["result"]["results"]] == [0, 1, 2]
    assert job["result"]["results"][1]["error"]["code"] == "INVALID_INPUT"
    assert job["units"] == 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputs": {"text": 5}}, (422, "INVALID_INPUT")),
        ({"model": "nose"}, (404, "MODEL_NOT_FOUND")),
        ({"model_version": "v9"}, (404, "MODEL_VERSION_NOT_FOUND")),
        ({"task": "explain"}, (501, "NOT_AVAILABLE")),
        ({"options": {"explain": True}}, (501, "NOT_AVAILABLE")),
        ({"task": "batch", "inputs": [INPUTS], "options": {"explain": "simple"}},
         (501, "NOT_AVAILABLE")),
        ({"webhook_url": "https://127.0.0.1/"}, (422, "ADDRESS_REFUSED")),
        ({"webhook_url": "https://user@example.com/"}, (422, "ADDRESS_REFUSED")),
    ],
)  # fmt: skip
def test_a_submission_is_refused_at_once_for_what_can_be_known(
    door: Door, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = door.submit(**body)
    assert code(answer) == expected, answer.text
    assert "location" not in answer.headers


def test_a_batch_that_is_nested_too_deep_is_no_fault_of_the_server(
    stack: Stack, customer: Customer
) -> None:
    """The items are validated later, and between what can be read and written lie some levels."""
    answers = set()
    for depth in range(940, 1000):
        text = "[" * depth + "]" * depth
        body = f'{{"task":"batch","start_after_s":3600,"inputs":[{{"text":{text}}}]}}'
        key = {"authorization": f"Bearer {stack.new_key(customer.tenant, *SCOPES)}"}
        sent = {**key, "content-type": "application/json"}
        answer = stack.anonymous.post("/api/v1/jobs", content=body, headers=sent)
        answers.add(answer.status_code)
        if answer.status_code == 202:
            path = f"/api/v1/jobs/{answer.json()['job_id']}/cancel"
            assert stack.anonymous.post(path, headers=key).status_code == 200
    assert answers == {202, 400}


def test_a_batch_has_at_most_as_many_items_as_the_tenant_may_send(stack: Stack) -> None:
    narrow = Door(stack, stack.customer(*SCOPES, max_batch=2).headers)
    assert narrow.submit(task="batch", inputs=[INPUTS] * 2).status_code == 202
    refused = narrow.submit(task="batch", inputs=[INPUTS] * 3)
    assert code(refused) == (422, "INVALID_INPUT")
    assert refused.json()["error"]["details"]["received_length"] == 3


def test_a_batch_counts_for_each_of_its_items(stack: Stack) -> None:
    narrow = Door(stack, stack.customer(*SCOPES, requests=1, window_s=3600, burst=4).headers)
    refused = narrow.submit(task="batch", inputs=[INPUTS] * 5)
    assert code(refused) == (429, "RATE_LIMITED")
    assert narrow.submit(task="batch", inputs=[INPUTS] * 4).status_code == 202
    assert code(narrow.submit()) == (429, "RATE_LIMITED")


def test_units_are_paid_at_submission(stack: Stack) -> None:
    poor = Door(stack, stack.customer(*SCOPES, day_units=3, overage="block").headers)
    later = {"start_after_s": 3600}
    assert code(poor.submit(task="batch", inputs=[INPUTS] * 4)) == (429, "QUOTA_EXCEEDED")
    assert poor.submit(task="batch", inputs=[INPUTS] * 3, **later).status_code == 202
    assert code(poor.submit()) == (429, "QUOTA_EXCEEDED")


def test_the_right_to_jobs_and_to_the_model_are_both_needed(stack: Stack) -> None:
    for scopes, lacking in [
        (("predict",), "jobs:sentiment"),
        (("predict", "jobs:wine"), "jobs:sentiment"),
        (("jobs",), "predict:sentiment"),
    ]:
        refused = Door(stack, stack.customer(*scopes).headers).submit()
        assert code(refused) == (403, "FORBIDDEN")
        assert refused.json()["error"]["details"] == {"scope": lacking}
    assert code(Door(stack, {}).submit()) == (401, "UNAUTHENTICATED")
    asked = {"inputs": INPUTS, "options": {"async": True}}
    assert code(Door(stack, {}).send("POST", "/api/v1/predict", asked)) == (401, "UNAUTHENTICATED")


def test_a_key_for_one_model_sees_the_jobs_of_that_model_alone(stack: Stack) -> None:
    customer = stack.customer(*SCOPES)
    job_id = Door(stack, customer.headers).submit().json()["job_id"]
    key = stack.new_key(customer.tenant, "predict", "jobs:wine")
    other = Door(stack, {"authorization": f"Bearer {key}"})
    assert other.send("GET", "/api/v1/jobs").json()["items"] == []
    for method, path in [("GET", ""), ("POST", "/cancel"), ("GET", "/events")]:
        assert code(other.send(method, f"/api/v1/jobs/{job_id}{path}")) == (404, "NOT_FOUND")
    nothing = Door(stack, {"authorization": f"Bearer {stack.new_key(customer.tenant, 'predict')}"})
    assert code(nothing.send("GET", "/api/v1/jobs")) == (403, "FORBIDDEN")


def test_a_canceled_job_stays_canceled_and_an_ended_one_is_not_canceled(door: Door) -> None:
    waiting = door.submit(start_after_s=3600).json()["job_id"]
    for _ in range(2):
        canceled = door.send("POST", f"/api/v1/jobs/{waiting}/cancel")
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    done = door.submit(prefer="wait=30").json()["job_id"]
    refused = door.send("POST", f"/api/v1/jobs/{done}/cancel")
    assert code(refused) == (409, "JOB_ENDED")
    assert refused.json()["error"]["details"] == {"status": "completed"}


def test_a_job_expires(door: Door) -> None:
    body = {"inputs": INPUTS, "start_after_s": 3600}
    accepted = door.send("POST", "/api/v1/jobs", body, cancel_after="1s").json()
    assert accepted["expires_at"] > accepted["created_at"]
    assert door.ended(accepted["job_id"])["status"] == "expired"


def test_jobs_are_listed_by_page_newest_first(stack: Stack) -> None:
    door = Door(stack, stack.customer(*SCOPES).headers)
    made = [door.submit(start_after_s=3600).json()["job_id"] for _ in range(5)]
    door.send("POST", f"/api/v1/jobs/{made[2]}/cancel")
    seen: list[str] = []
    path = "/api/v1/jobs?limit=2"
    cursor = ""
    while True:
        page = door.send("GET", f"{path}&cursor={cursor}" if cursor else path).json()
        seen += [job["job_id"] for job in page["items"]]
        assert all("result" not in job for job in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]

    def listed(query: str) -> list[str]:
        items = door.send("GET", f"/api/v1/jobs?{query}").json()["items"]
        return [job["job_id"] for job in items]

    assert listed("status=canceled") == [made[2]]
    assert listed("status=pending&model=sentiment") == [made[4], made[3], made[1], made[0]]
    assert listed("model=wine") == []
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert listed(f"created_after={soon}") == []
    assert listed(f"created_before={soon}") == made[::-1]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("status=done", "status"),
     ("model=Nose!", "model"), ("cursor=x", "cursor"), ("created_after=today", "created_after"),
     ("created_before=2026-11-23T10:00:00", "created_before"), ("state=pending", "state")],
)  # fmt: skip
def test_a_faulty_query_is_refused(door: Door, query: str, parameter: str) -> None:
    refused = door.send("GET", f"/api/v1/jobs?{query}")
    assert code(refused) == (400, "INVALID_PARAMETER")
    assert refused.json()["error"]["details"]["parameter"] == parameter


def test_a_submission_takes_no_query_and_only_post(door: Door) -> None:
    assert code(door.submit("/api/v1/jobs?explain=false")) == (400, "INVALID_PARAMETER")
    refused = door.send("PUT", "/api/v1/models/sentiment/jobs", {})
    assert code(refused) == (405, "METHOD_NOT_ALLOWED")
    assert refused.headers["allow"] == "POST"
    assert code(door.submit("/api/v1/models/wine/jobs", model="sentiment")) == (
        400,
        "MODEL_CONFLICT",
    )


@pytest.mark.parametrize("job_id", ["job_" + "0" * 32, "x", "job_" + "A" * 32])
def test_what_is_no_job_is_not_found(door: Door, job_id: str) -> None:
    for method, path in [("GET", ""), ("POST", "/cancel"), ("GET", "/events")]:
        assert code(door.send(method, f"/api/v1/jobs/{job_id}{path}")) == (404, "NOT_FOUND")


def test_priority_goes_by_tier(stack: Stack) -> None:
    tiers = {tier["name"]: tier["limits"]["priority"] for tier in
             stack.operators.get("/tiers", params={"limit": 200}).json()["items"]}  # fmt: skip
    wanted = {"free": "low", "pro": "normal", "enterprise": "high", "internal": "high"}
    assert {name: tiers[name] for name in wanted} == wanted
    customer = stack.customer(*SCOPES, priority="low")
    shown = stack.operators.get(f"/tenants/{customer.tenant}").json()
    assert shown["overrides"]["priority"] == "low"
    assert Door(stack, customer.headers).submit(prefer="wait=30").json()["status"] == "completed"
