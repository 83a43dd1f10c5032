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

from control_plane.api import predict
from control_plane.app import create_app
from control_plane.environment import load_settings
from control_plane.telemetry.metrics import Metrics
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
        return self._send("GET", path.format(self.others))

    def predict(self, path: str, model: str) -> httpx.Response:
        """Predict with a model, named in the body and, where the path has ``{}``, in the path."""
        body = {"model": model, "inputs": INPUTS[model]}
        return self._send("POST", path.format(model), json=body)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
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
        assert {row["client"] for row in answer["items"]} == {f"k:{visitor.customer.key_id}"}
        assert {row["model"] for row in answer["items"]} <= {visitor.own, ""}

    return case


def takes_only_ones_own(path: str) -> Case:
    """Feedback on a prediction of the other's is refused as that on one that never was."""

    def case(visitor: Visitor) -> None:
        def given(request_id: str) -> httpx.Response:
            return visitor._send("POST", path, json={"request_id": request_id, "score": 1})

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
    templates = {route.template for route in predict._EXACT.values()}
    templates |= {template for template, _ in predict._BASES.values()}
    return found | {f"POST {template}" for template in templates}


def test_every_route_has_a_case() -> None:
    missing = routes() - CASES.keys()
    assert not missing, f"say in CASES what a customer sees of another's at {sorted(missing)}"
    assert not CASES.keys() - routes(), "a case of a route that is no more"


@pytest.fixture(scope="module")
def pair(stack: Stack) -> tuple[Customer, Customer]:
    """A customer who may use the wine model, and one who may use sentiment."""
    return stack.customer("predict:wine"), stack.customer("predict:sentiment")


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
