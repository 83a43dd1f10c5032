"""What one customer sees of another: a case for every route, and no route without one.

A route that is added needs a line in ``CASES``: what ``Visitor`` may see of what is another's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.routes import HTTPRoute
from prometheus_client import CollectorRegistry

from control_plane.api import asked, objects
from control_plane.app import create_app
from control_plane.environment import load_settings
from control_plane.telemetry.metrics import Metrics
from control_plane.uploads.links import METHOD
from tests.stack import Customer, Stack, environment, until

INPUTS = {
    "sentiment": {"text": "lovely"},
    "wine": {
        "alcohol": 13.2, "malic_acid": 1.78, "ash": 2.14, "alcalinity_of_ash": 11.2,
        "magnesium": 100, "total_phenols": 2.65, "flavanoids": 2.76, "nonflavanoid_phenols": 0.26,
        "proanthocyanins": 1.28, "color_intensity": 4.38, "hue": 1.05,
        "od280_od315_of_diluted_wines": 3.4, "proline": 1050,
    },
}  # fmt: skip
NOT_CASES = {"HEAD", "OPTIONS"}
"""They answer what GET answers, less the body, or nothing of anybody."""


class Visitor(NamedTuple):
    """A customer at the door.

    Attributes:
        stack: The door.
        customer: Who it is.
        own: The model that it may use.
        others: A model that only the other customer may use.
        other: The other customer.
    """

    stack: Stack
    customer: Customer
    own: str
    others: str
    other: Customer

    def swapped(self) -> Visitor:
        """The other customer, to whom this one is the other."""
        return Visitor(self.stack, self.other, self.others, self.own, self.customer)

    def get(self, path: str) -> httpx.Response:
        """Visit a path, in which ``{}`` stands for the model of the other."""
        return self.send("GET", path.format(self.others))

    def predict(self, path: str, model: str) -> httpx.Response:
        """Predict with a model, named in the body and, where the path has ``{}``, in the path."""
        body = {"model": model, "inputs": INPUTS[model]}
        return self.send("POST", path.format(model), json=body)

    def leave(self, path: str, model: str) -> httpx.Response:
        """Leave a job of a model that waits for an hour."""
        body = {"model": model, "inputs": INPUTS[model], "start_after_s": 3600}
        return self.send("POST", path.format(model), json=body)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.customer.headers
        return self.stack.anonymous.request(method, path, headers=headers, **more)


Case = Callable[[Visitor], None]


def same_for_all(path: str) -> Case:
    """The path needs no key and answers everybody alike."""

    def case(visitor: Visitor) -> None:
        nobody = visitor.stack.anonymous.get(path)
        assert visitor.get(path).content == nobody.content
        assert nobody.status_code == 200

    return case


def lists_only_ones_own(path: str) -> Case:
    """The answer has what the visitor may use, and nothing of what the other may."""

    def case(visitor: Visitor) -> None:
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert visitor.own in answer.text
        assert visitor.others not in answer.text
        assert visitor.other.tenant not in answer.text

    return case


def others_are_not_there(path: str) -> Case:
    """What belongs to the other is answered as what does not exist."""

    def case(visitor: Visitor) -> None:
        assert visitor.get(path.replace("{}", visitor.own)).status_code == 200
        answer, missing = visitor.get(path), visitor.get(path.replace("{}", "nothing"))
        assert answer.status_code == missing.status_code == 404
        assert answer.json()["error"]["code"] == missing.json()["error"]["code"]
        assert answer.json()["error"]["details"] == missing.json()["error"]["details"]

    return case


def others_cannot_be_used(path: str) -> Case:
    """A model of the other's answers 403, however it is named, and nothing is counted for it."""

    def case(visitor: Visitor) -> None:
        assert visitor.predict(path, visitor.own).status_code == 200
        answer = visitor.predict(path, visitor.others)
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"]["details"] == {"scope": f"predict:{visitor.others}"}
        assert visitor.other.tenant not in answer.text

    return case


def counts_only_ones_own(path: str) -> Case:
    """What is counted is the visitor's own, whatever the other did meanwhile."""

    def case(visitor: Visitor) -> None:
        for each in (visitor, visitor.swapped()):
            assert each.predict("/api/v1/predict", each.own).status_code == 200
        assert until(lambda: visitor.own in visitor.get(path).text, 30)
        answer = visitor.get(path).json()
        assert answer["tenant"] == visitor.customer.tenant
        clients = {row["client"] for row in answer["items"]}
        assert f"k:{visitor.customer.key_id}" in clients
        assert f"k:{visitor.other.key_id}" not in clients
        assert {row["model"] for row in answer["items"]} <= {visitor.own, ""}

    return case


def takes_only_ones_own(path: str) -> Case:
    """Feedback on a prediction of the other's is refused as that on one that never was."""

    def case(visitor: Visitor) -> None:
        def given(request_id: str) -> httpx.Response:
            return visitor.send("POST", path, json={"request_id": request_id, "score": 1})

        predicted = [
            each.predict("/api/v1/predict", each.own).json()["request_id"]
            for each in (visitor, visitor.swapped())
        ]
        refused = 0
        while given(predicted[0]).status_code != 200:
            refused += 1
            assert refused < 100, "the prediction is not kept"
            time.sleep(0.1)
        missing, others = given("req_" + "0" * 32), given(predicted[1])
        assert missing.status_code == others.status_code == 404
        assert missing.json()["error"]["message"] == others.json()["error"]["message"]

    return case


def leaves_only_ones_own(path: str) -> Case:
    """A job of a model of the other's answers 403, and one's own can be left."""

    def case(visitor: Visitor) -> None:
        left = visitor.leave(path, visitor.own)
        assert left.status_code == 202, left.text
        refused = visitor.leave(path, visitor.others)
        assert refused.status_code == 403, refused.text
        assert visitor.other.tenant not in refused.text

    return case


def shows_only_ones_own_jobs(method: str, path: str) -> Case:
    """A job of the other's is answered as one that never was, and is not touched."""

    def case(visitor: Visitor) -> None:
        jobs = [
            each.leave("/api/v1/jobs", each.own).json()["job_id"]
            for each in (visitor, visitor.swapped())
        ]
        missing = "job_" + "0" * 32
        answers = [visitor.send(method, path.format(job)) for job in (jobs[1], missing)]
        assert [answer.status_code for answer in answers] == [404, 404]
        messages = [answer.json()["error"]["message"] for answer in answers]
        assert messages[0] == messages[1]
        own = visitor.swapped().send("GET", f"/api/v1/jobs/{jobs[1]}").json()
        assert own["status"] == "pending"

    return case


def lists_only_ones_own_jobs(path: str) -> Case:
    """The list has the visitor's jobs and none of the other's."""

    def case(visitor: Visitor) -> None:
        jobs = [
            each.leave("/api/v1/jobs", each.own).json()["job_id"]
            for each in (visitor, visitor.swapped())
        ]
        listed = {job["job_id"] for job in visitor.get(path).json()["items"]}
        assert jobs[0] in listed
        assert jobs[1] not in listed

    return case


def made_upload(visitor: Visitor) -> dict[str, Any]:
    """An upload of the visitor's."""
    wish = {"filename": "x", "content_type": "text/plain", "size": 1}
    answer = visitor.send("POST", "/api/v1/uploads", json=wish)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def makes_only_ones_own_uploads(path: str) -> Case:
    """An upload says nothing of the other's, and is of no use to the other."""

    def case(visitor: Visitor) -> None:
        made = made_upload(visitor)
        assert visitor.other.tenant not in str(made)
        own = f"{path}/{made['upload_id']}"
        assert visitor.send("GET", own).status_code == 200
        assert visitor.swapped().send("GET", own).status_code == 404

    return case


def lists_only_ones_own_uploads(path: str) -> Case:
    """The list has the visitor's uploads and none of the other's."""

    def case(visitor: Visitor) -> None:
        made = [made_upload(each)["upload_id"] for each in (visitor, visitor.swapped())]
        listed = {upload["upload_id"] for upload in visitor.get(path).json()["items"]}
        assert made[0] in listed
        assert made[1] not in listed

    return case


def shows_only_ones_own_uploads(method: str, path: str) -> Case:
    """An upload of the other's is answered as one that never was, and is not touched."""

    def case(visitor: Visitor) -> None:
        others = made_upload(visitor.swapped())["upload_id"]
        names = (others, "upl_" + "0" * 32)
        answers = [visitor.send(method, path.format(name)) for name in names]
        assert [answer.status_code for answer in answers] == [404, 404]
        messages = [answer.json()["error"]["message"] for answer in answers]
        assert messages[0] == messages[1]
        assert visitor.swapped().send("GET", path.format(others)).status_code == 200

    return case


def puts_only_what_was_signed() -> Case:
    """What was signed for one tenant puts no object of another's."""

    def case(visitor: Visitor) -> None:
        own, others = made_upload(visitor), made_upload(visitor.swapped())
        address, other = own["upload"], others["upload"]
        crossed = (
            address["url"].replace(own["upload_id"], others["upload_id"]),
            address["url"].replace(visitor.customer.tenant, visitor.other.tenant),
            other["url"].replace(visitor.other.tenant, visitor.customer.tenant),
        )
        for url in crossed:
            sent = {**address["headers"], **visitor.stack.elsewhere()}
            answer = visitor.stack.anonymous.put(url, content=b"x", headers=sent)
            assert answer.status_code == 403, answer.text

    return case


def visited(visitor: Visitor, method: str, path: str, **more: Any) -> httpx.Response:
    """A visit with a key of the visitor's that may have jobs of every model, as webhooks need."""
    key = visitor.stack.new_key(visitor.customer.tenant, "jobs")
    headers = {"authorization": f"Bearer {key}"}
    return visitor.stack.anonymous.request(method, path, headers=headers, **more)


def made_endpoint(visitor: Visitor) -> str:
    """Id of an endpoint of the visitor's, the one that it has if there is one."""
    kept = visited(visitor, "GET", "/api/v1/webhooks").json()["items"]
    if kept:
        return str(kept[0]["id"])
    body = {"url": f"https://hooks.invalid/{visitor.customer.tenant}"}
    answer = visited(visitor, "POST", "/api/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    assert visitor.other.tenant not in answer.text
    return str(answer.json()["endpoint"]["id"])


def shows_only_ones_own_endpoints(method: str, path: str, **more: Any) -> Case:
    """An endpoint of the other's is answered as one that never was, and is not touched."""

    def case(visitor: Visitor) -> None:
        others = made_endpoint(visitor.swapped())
        names = (others, "we_" + "0" * 24)
        answers = [visited(visitor, method, path.format(name), **more) for name in names]
        assert [answer.status_code for answer in answers] == [404, 404]
        messages = [answer.json()["error"]["message"] for answer in answers]
        assert messages[0] == messages[1]
        shown = visited(visitor.swapped(), "GET", f"/api/v1/webhooks/{others}").json()
        assert shown["revision"] == 1

    return case


def lists_only_ones_own_endpoints(path: str) -> Case:
    """The list has the visitor's endpoints and none of the other's."""

    def case(visitor: Visitor) -> None:
        made = [made_endpoint(each) for each in (visitor, visitor.swapped())]
        answer = visited(visitor, "GET", path)
        listed = {endpoint["id"] for endpoint in answer.json()["items"]}
        assert made[0] in listed
        assert made[1] not in listed
        assert visitor.other.tenant not in answer.text

    return case


def has_a_secret_of_ones_own(method: str, path: str, **more: Any) -> Case:
    """Two tenants have two secrets, and one's rotation leaves the other's."""

    def case(visitor: Visitor) -> None:
        kept = "/api/v1/webhooks/secret"
        others = visited(visitor.swapped(), "GET", kept).json()["secret"]
        assert visited(visitor, method, path, **more).json()["secret"] != others
        assert visited(visitor.swapped(), "GET", kept).json()["secret"] == others

    return case


def shows_only_ones_own_deliveries(method: str, path: str) -> Case:
    """A delivery of the end of the other's job is not there, and is not listed."""

    def case(visitor: Visitor) -> None:
        delivery = a_delivery(visitor.swapped())
        names = (delivery, "msg_" + "0" * 32 + "_" + "0" * 12)
        if "{}" in path:
            answers = [visited(visitor, method, path.format(name)) for name in names]
            assert [answer.status_code for answer in answers] == [404, 404]
        else:
            assert delivery not in visited(visitor, method, path).text

    return case


def a_delivery(visitor: Visitor) -> str:
    """Id of a delivery of the visitor's: of a job that was canceled."""
    endpoint = made_endpoint(visitor)
    job = visitor.leave("/api/v1/jobs", visitor.own).json()["job_id"]
    assert visitor.send("POST", f"/api/v1/jobs/{job}/cancel").status_code == 200

    def listed() -> list[dict[str, Any]]:
        path = f"/api/v1/webhooks/deliveries?endpoint={endpoint}"
        found: list[dict[str, Any]] = visited(visitor, "GET", path).json()["items"]
        return found

    assert until(listed, 30)
    return str(listed()[0]["id"])


CASES: dict[str, Case] = {
    "GET /healthz": same_for_all("/healthz"),
    "GET /ready": same_for_all("/ready"),
    "GET /docs": same_for_all("/docs"),
    "GET /docs/assets/{name}": same_for_all("/docs/assets/start.js"),
    "GET /openapi.json": lists_only_ones_own("/openapi.json"),
    "GET /api/v1/models": lists_only_ones_own("/api/v1/models"),
    "GET /api/v1/models/{model}": others_are_not_there("/api/v1/models/{}"),
    "GET /api/v1/models/{model}/versions": others_are_not_there("/api/v1/models/{}/versions"),
    "GET /api/v1/models/{model}/schema": others_are_not_there("/api/v1/models/{}/schema"),
    "POST /api/v1/feedback": takes_only_ones_own("/api/v1/feedback"),
    "GET /api/v1/usage": counts_only_ones_own("/api/v1/usage"),
    "GET /api/v1/jobs": lists_only_ones_own_jobs("/api/v1/jobs"),
    "POST /api/v1/jobs": leaves_only_ones_own("/api/v1/jobs"),
    "POST /api/v1/models/{model}/jobs": leaves_only_ones_own("/api/v1/models/{}/jobs"),
    "GET /api/v1/jobs/{job_id}": shows_only_ones_own_jobs("GET", "/api/v1/jobs/{}"),
    "POST /api/v1/jobs/{job_id}/cancel": shows_only_ones_own_jobs("POST", "/api/v1/jobs/{}/cancel"),
    "GET /api/v1/jobs/{job_id}/events": shows_only_ones_own_jobs("GET", "/api/v1/jobs/{}/events"),
    "POST /api/v1/uploads": makes_only_ones_own_uploads("/api/v1/uploads"),
    "GET /api/v1/uploads": lists_only_ones_own_uploads("/api/v1/uploads"),
    "GET /api/v1/uploads/{upload}": shows_only_ones_own_uploads("GET", "/api/v1/uploads/{}"),
    "DELETE /api/v1/uploads/{upload}": shows_only_ones_own_uploads("DELETE", "/api/v1/uploads/{}"),
    "PUT /objects/{upload}": puts_only_what_was_signed(),
    "POST /api/v1/webhooks": lists_only_ones_own_endpoints("/api/v1/webhooks"),
    "GET /api/v1/webhooks": lists_only_ones_own_endpoints("/api/v1/webhooks"),
    "GET /api/v1/webhooks/{endpoint}": shows_only_ones_own_endpoints("GET", "/api/v1/webhooks/{}"),
    "PATCH /api/v1/webhooks/{endpoint}": shows_only_ones_own_endpoints(
        "PATCH", "/api/v1/webhooks/{}", json={"enabled": False}
    ),
    "DELETE /api/v1/webhooks/{endpoint}": shows_only_ones_own_endpoints(
        "DELETE", "/api/v1/webhooks/{}"
    ),
    "GET /api/v1/webhooks/{endpoint}/secret": shows_only_ones_own_endpoints(
        "GET", "/api/v1/webhooks/{}/secret"
    ),
    "POST /api/v1/webhooks/{endpoint}/secret/rotate": shows_only_ones_own_endpoints(
        "POST", "/api/v1/webhooks/{}/secret/rotate", json={}
    ),
    "GET /api/v1/webhooks/secret": has_a_secret_of_ones_own("GET", "/api/v1/webhooks/secret"),
    "POST /api/v1/webhooks/secret/rotate": has_a_secret_of_ones_own(
        "POST", "/api/v1/webhooks/secret/rotate", json={}
    ),
    "GET /api/v1/webhooks/deliveries": shows_only_ones_own_deliveries(
        "GET", "/api/v1/webhooks/deliveries"
    ),
    "GET /api/v1/webhooks/deliveries/{delivery}": shows_only_ones_own_deliveries(
        "GET", "/api/v1/webhooks/deliveries/{}"
    ),
    "POST /api/v1/webhooks/deliveries/{delivery}/redeliver": shows_only_ones_own_deliveries(
        "POST", "/api/v1/webhooks/deliveries/{}/redeliver"
    ),
    "POST /api/predict": others_cannot_be_used("/api/predict"),
    "POST /api/v1/predict": others_cannot_be_used("/api/v1/predict"),
    "POST /api/v2/predict": others_cannot_be_used("/api/v2/predict"),
    "POST /api/v1/models/{model}/predict": others_cannot_be_used("/api/v1/models/{}/predict"),
    "POST /api/v2/models/{model}/predict": others_cannot_be_used("/api/v2/models/{}/predict"),
}


def routes() -> set[str]:
    """Every route of the public application."""
    settings = load_settings(environment(triton_urls="127.0.0.1:1", redis_url="redis://127.0.0.1"))
    metrics, draining = Metrics(CollectorRegistry()), threading.Event()
    app = create_app(settings, metrics=metrics, draining=draining, access_log=None)
    found = {
        f"{method} {route.path_format}"
        for route in app.litestar.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method not in NOT_CASES
    }
    assert len(app.litestar.routes) > 5, "nothing was found to be tested"
    beside = {f"POST {template}" for template in asked.TEMPLATES}
    return found | beside | {f"{METHOD} {objects.TEMPLATE}"}


def test_every_route_has_a_case() -> None:
    missing = routes() - CASES.keys()
    assert not missing, f"say in CASES what a customer sees of another's at {sorted(missing)}"
    assert not CASES.keys() - routes(), "a case of a route that is no more"


@pytest.fixture(scope="module")
def pair(stack: Stack) -> tuple[Customer, Customer]:
    """A customer who may use the wine model, and one who may use sentiment."""
    scopes = [(f"predict:{model}", f"jobs:{model}", "uploads") for model in ("wine", "sentiment")]
    first, second = (stack.customer(*each) for each in scopes)
    return first, second


@pytest.mark.parametrize("own", ["wine", "sentiment"])
@pytest.mark.parametrize("route", sorted(CASES))
def test_nothing_of_another_is_seen(
    stack: Stack, pair: tuple[Customer, Customer], route: str, own: str
) -> None:
    names, mine = ["wine", "sentiment"], int(own == "sentiment")
    CASES[route](Visitor(stack, pair[mine], own, names[1 - mine], pair[1 - mine]))


def test_a_limit_that_one_customer_has_used_up_does_not_touch_another(stack: Stack) -> None:
    narrow = {"requests": 1, "window_s": 3600, "burst": 1, "concurrency": 1, "day_units": 1}
    first, second = stack.customer(**narrow), stack.customer(**narrow)
    answers = [
        stack.anonymous.get("/api/v1/models", headers=each.headers).status_code
        for each in (first, first, second)
    ]
    assert answers == [200, 429, 200]
