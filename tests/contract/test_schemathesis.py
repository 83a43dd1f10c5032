"""Generated requests, good and bad, against the running server's own OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.stack import Stack

TIMEOUT = "X-Request-Timeout"
LEAST_TIMEOUT_MS = 5000
EXAMPLES = 25
CROWD = 240
"""Clients that send the requests: half of these are bad, and a client has twenty of those."""
CONFIG = """
seed = 20251123

[checks.not_a_server_error]
# 501: a known option that this deployment does not offer.
expected-statuses = ["2xx", "4xx", "501"]

[checks.negative_data_rejection]
# 413: what is generated may be larger than such a body may be. 501: a known option that this
# deployment does not offer.
expected-statuses = ["400", "401", "403", "404", "405", "406", "413", "415", "422", "429", "501"]

[checks.positive_data_acceptance]
# 400: the header and the body may name different versions, which OpenAPI has no words for.
# 404: any string may stand for a model or version in the path or the query.
expected-statuses = ["2xx", "400", "404"]
"""

TOLD = frozenset({
    "ADDRESS_REFUSED",  # which addresses are public
    "IDEMPOTENCY_CONFLICT",  # what came with the key before
    "PAYLOAD_TOO_LARGE",  # what this deployment takes
})  # fmt: skip
"""Refusals for what OpenAPI has no words for, whatever the resource."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def api_schema(stack: Stack) -> Any:
    stack.gather(CROWD)
    return schemathesis.openapi.from_url(
        f"{stack.http}/openapi.json",
        headers={"Authorization": stack.crowd.header()},
        config=SchemathesisConfig.from_str(CONFIG),
    )


schema = schemathesis.pytest.from_fixture("api_schema")


@pytest.fixture(autouse=True)
def _node_id(request: pytest.FixtureRequest) -> None:
    """What schemathesis 4.32 reads and pytest 9.2 has renamed."""
    if not hasattr(request.node, "_nodeid"):
        request.node._nodeid = request.node.nodeid


def more_time(case: schemathesis.Case) -> dict[str, str]:
    """Headers that give the server time: with a deadline of 1 ms a 504 is the truth."""
    asked = str(case.headers.get(TIMEOUT, "")) if case.headers else ""
    short = asked.isascii() and asked.isdigit() and 1 <= int(asked) < LEAST_TIMEOUT_MS
    return {TIMEOUT: str(LEAST_TIMEOUT_MS)} if short else {}


def excused(case: schemathesis.Case, response: Any) -> list[Any]:
    """Checks of which the document, for want of words in OpenAPI, cannot be right."""
    checks: list[Any] = []
    if "x-schemathesis-unknown-property" in (case.headers or {}):
        # A header that nobody knows is to be ignored (RFC 9110, 5.1), not to be refused.
        checks.append(negative_data_rejection)
    is_signed = case.path.startswith("/objects/")  # by nothing that could be made up
    refused = response.status_code in {413, 422}
    if is_signed or (refused and is_told(case, response.json()["error"])):
        checks.append(positive_data_acceptance)
    return checks


def is_told(case: schemathesis.Case, error: dict[str, Any]) -> bool:
    """True for a refusal whose reason is one of values that the document cannot describe."""
    if error["code"] in TOLD:
        return True
    if error["code"] != "INVALID_INPUT":
        return False
    faults = listed_faults(error)
    if case.path.endswith("/jobs"):
        return True  # the inputs are those of whatever model the body names
    # Sound for another version, which the header or the body may mean; or a whole number with a
    # point, which JSON Schema takes for an integer.
    return all(
        fault.get("accepted_by") or fault["issue"] == "expected `int`, got `float`"
        for fault in faults
    )


def listed_faults(error: dict[str, Any]) -> list[dict[str, Any]]:
    """The faults of an envelope."""
    return list(error.get("errors", [error["details"]]))


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_keeps_its_own_document(case: schemathesis.Case, stack: Stack) -> None:
    key = {"Authorization": stack.crowd.header()}
    response = case.call(headers={**more_time(case), **key})
    assert response.status_code < 500 or response.status_code == 501, response.text
    case.validate_response(response, excluded_checks=excused(case, response))
