"""Who may do what: every route of the operators' port has a case here, or the test fails."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute
from msgspec import Struct
from prometheus_client import CollectorRegistry

from control_plane.admin_app import create_admin_app
from control_plane.environment import load_settings
from control_plane.telemetry.admission_metrics import AdmissionMetrics
from control_plane.telemetry.rollout_metrics import RolloutMetrics
from tests.integration.admin.conftest import SETTINGS, Door, MintKey
from tests.integration.local.processes import eventually

Route = tuple[str, str]


class Case(Struct, frozen=True):
    """A request that the right scope lets through; it may well be refused for another reason."""

    scope: str
    path: str
    body: dict[str, Any] | None = None


KEY = "aaaaaaaaaaaa"
OPEN = {("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/admin/v1/openapi.json")}
CASES: dict[Route, Case] = {
    ("GET", "/admin/v1/tenants"): Case("tenants:read", "/tenants"),
    ("POST", "/admin/v1/tenants"): Case("tenants:write", "/tenants", {}),
    ("GET", "/admin/v1/tenants/{tenant}"): Case("tenants:read", "/tenants/nobody"),
    ("PATCH", "/admin/v1/tenants/{tenant}"): Case("tenants:write", "/tenants/nobody", {}),
    ("DELETE", "/admin/v1/tenants/{tenant}"): Case("tenants:write", "/tenants/nobody"),
    ("PUT", "/admin/v1/tenants/{tenant}/overrides"): Case(
        "tenants:write", "/tenants/nobody/overrides", {}
    ),
    ("DELETE", "/admin/v1/tenants/{tenant}/overrides"): Case(
        "tenants:write", "/tenants/nobody/overrides"
    ),
    ("GET", "/admin/v1/tenants/{tenant}/keys"): Case("keys:read", "/tenants/nobody/keys"),
    ("POST", "/admin/v1/tenants/{tenant}/keys"): Case("keys:write", "/tenants/nobody/keys", {}),
    ("GET", "/admin/v1/keys/{key}"): Case("keys:read", f"/keys/{KEY}"),
    ("PATCH", "/admin/v1/keys/{key}"): Case("keys:write", f"/keys/{KEY}", {}),
    ("DELETE", "/admin/v1/keys/{key}"): Case("keys:write", f"/keys/{KEY}"),
    ("POST", "/admin/v1/keys/{key}/rotate"): Case("keys:write", f"/keys/{KEY}/rotate", {}),
    ("GET", "/admin/v1/tiers"): Case("tiers:read", "/tiers"),
    ("POST", "/admin/v1/tiers"): Case("tiers:write", "/tiers", {}),
    ("GET", "/admin/v1/tiers/{tier}"): Case("tiers:read", "/tiers/nothing"),
    ("PATCH", "/admin/v1/tiers/{tier}"): Case("tiers:write", "/tiers/nothing", {}),
    ("DELETE", "/admin/v1/tiers/{tier}"): Case("tiers:write", "/tiers/nothing"),
    ("GET", "/admin/v1/usage"): Case("usage:read", "/usage"),
    ("GET", "/admin/v1/usage/months"): Case("usage:read", "/usage/months"),
    ("GET", "/admin/v1/tenants/{tenant}/usage"): Case("usage:read", "/tenants/nobody/usage"),
    ("GET", "/admin/v1/blocks"): Case("blocks:read", "/blocks"),
    ("POST", "/admin/v1/blocks"): Case("blocks:write", "/blocks", {}),
    ("GET", "/admin/v1/blocks/{block}"): Case("blocks:read", "/blocks/none"),
    ("DELETE", "/admin/v1/blocks/{block}"): Case("blocks:write", "/blocks/none"),
    ("GET", "/admin/v1/jobs/dead"): Case("jobs:read", "/jobs/dead"),
    ("GET", "/admin/v1/jobs/{job}"): Case("jobs:read", f"/jobs/job_{'0' * 32}"),
    ("POST", "/admin/v1/jobs/{job}/cancel"): Case("jobs:write", f"/jobs/job_{'0' * 32}/cancel"),
    ("POST", "/admin/v1/jobs/{job}/replay"): Case("jobs:write", f"/jobs/job_{'0' * 32}/replay"),
    ("GET", "/admin/v1/audit"): Case("audit:read", "/audit"),
    ("GET", "/admin/v1/models"): Case("models:read", "/models"),
    ("POST", "/admin/v1/repository/refresh"): Case("models:write", "/repository/refresh"),
    ("GET", "/admin/v1/models/{model}"): Case("models:read", "/models/none"),
    ("GET", "/admin/v1/models/{model}/diff"): Case("models:read", "/models/none/diff"),
    **{
        ("POST", f"/admin/v1/models/{{model}}/versions/{{version}}/{action}"): Case(
            "models:write", f"/models/none/versions/v1.0.0/{action}", body
        )
        for action, body in {
            "promote": {},
            "deprecate": {"sunset_at": 253_402_300_799},
            "retire": None,
            "revive": None,
            "load": None,
            "unload": None,
        }.items()
    },
    ("PUT", "/admin/v1/models/{model}/aliases/{alias}"): Case(
        "models:write", "/models/none/aliases/a", {"version": "v1.0.0"}
    ),
    ("DELETE", "/admin/v1/models/{model}/aliases/{alias}"): Case(
        "models:write", "/models/none/aliases/a"
    ),
    ("GET", "/admin/v1/models/{model}/rollout"): Case("rollouts:read", "/models/none/rollout"),
    ("POST", "/admin/v1/models/{model}/rollout"): Case(
        "rollouts:write", "/models/none/rollout", {"candidates": [{"version": "v1.0.0"}]}
    ),
    ("PATCH", "/admin/v1/models/{model}/rollout"): Case(
        "rollouts:write", "/models/none/rollout", {}
    ),
    **{
        ("POST", f"/admin/v1/models/{{model}}/rollout/{action}"): Case(
            "rollouts:write", f"/models/none/rollout/{action}", body
        )
        for action, body in {"pause": None, "resume": None, "promote": {}, "abort": {}}.items()
    },
    ("GET", "/admin/v1/rollouts"): Case("rollouts:read", "/rollouts?model=none"),
    ("GET", "/admin/v1/rollouts/{rollout}"): Case("rollouts:read", "/rollouts/none"),
    ("POST", "/admin/v1/rollouts/{rollout}/undo"): Case("rollouts:write", "/rollouts/none/undo"),
    ("GET", "/admin/v1/rollouts/{rollout}/shadow/{version}"): Case(
        "rollouts:read", "/rollouts/none/shadow/v1.0.0"
    ),
    ("GET", "/admin/v1/rollouts/{rollout}/shadow/{version}/differences"): Case(
        "rollouts:read", "/rollouts/none/shadow/v1.0.0/differences"
    ),
}
SCOPES = sorted({case.scope for case in CASES.values()})


def routes() -> set[Route]:
    """Every route of the operators' port."""
    settings = load_settings(
        SETTINGS
        | {
            "TIDEGATE_REDIS_URL": "redis://127.0.0.1:1/0",
            "TIDEGATE_BOOTSTRAP_ADMIN_KEY": f"tg_live_{KEY}_{'0' * 33}",
        }
    )
    app: Any = create_admin_app(
        settings,
        metrics=AdmissionMetrics(CollectorRegistry()),
        rollouts_counted=RolloutMetrics(CollectorRegistry()),
        access_log=None,
    ).app
    return {
        (str(method), route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
    }


def send(client: httpx.Client, route: Route) -> httpx.Response:
    case = CASES[route]
    return client.request(route[0], case.path, json=case.body)


def test_every_route_has_a_case() -> None:
    assert routes() == CASES.keys() | OPEN


@pytest.mark.parametrize("route", CASES, ids=" ".join)
def test_without_a_key_it_is_401(door: Door, route: Route) -> None:
    with door.client(None) as nobody:
        nobody.headers.update(door.elsewhere())
        answer = send(nobody, route)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHENTICATED"
    assert answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("route", CASES, ids=" ".join)
def test_with_a_key_that_does_not_exist_it_is_401(door: Door, route: Route) -> None:
    with door.client(f"{door.root_key[:-1]}~") as stranger:
        stranger.headers.update(door.elsewhere())
        assert send(stranger, route).status_code == 401


def test_a_tenants_key_opens_nothing(door: Door, tenant: str, new_key: MintKey) -> None:
    made = new_key(tenant, "predict", "jobs", "explain", "uploads")
    with door.client(made["key"]) as client:
        assert {route: send(client, route).status_code for route in CASES} == dict.fromkeys(
            CASES, 403
        )


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_what_it_names_and_nothing_else(
    door: Door, scope: str, new_key: MintKey
) -> None:
    with door.client(new_key("operators", f"admin:{scope}")["key"]) as client:
        opened = {route for route in CASES if send(client, route).status_code not in {401, 403}}
    assert opened == {route for route, case in CASES.items() if case.scope == scope}


def test_a_resource_opens_both_verbs(door: Door, new_key: MintKey) -> None:
    with door.client(new_key("operators", "admin:tenants")["key"]) as client:
        opened = {route for route in CASES if send(client, route).status_code not in {401, 403}}
    assert {CASES[route].scope for route in opened} == {"tenants:read", "tenants:write"}


def test_the_missing_scope_is_named(door: Door, new_key: MintKey) -> None:
    with door.client(new_key("operators", "admin:tenants:read")["key"]) as client:
        error = client.post("/tenants", json={}).json()["error"]
    assert (error["code"], error["details"]) == ("FORBIDDEN", {"scope": "admin:tenants:write"})


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/admin/v1/openapi.json"])
def test_what_is_open_needs_no_key(door: Door, path: str) -> None:
    assert httpx.get(door.url + path, timeout=60, trust_env=False).status_code == 200


def test_options_tells_operators_the_methods(door: Door, root: httpx.Client) -> None:
    assert root.options("/tiers").status_code == 204
    with door.client(None) as nobody:
        assert nobody.options("/tiers").status_code == 401


def test_two_keys_in_one_request_are_refused(door: Door, root: httpx.Client) -> None:
    twice = [("authorization", f"Bearer {door.root_key}")] * 2 + [*door.elsewhere().items()]
    assert httpx.get(f"{root.base_url}tiers", headers=twice, trust_env=False).status_code == 401


def test_x_api_key_is_taken(door: Door) -> None:
    with door.client(None) as client:
        assert client.get("/tiers", headers={"x-api-key": door.root_key}).status_code == 200


def test_nobody_makes_a_key_wider_than_his_own(door: Door, new_key: MintKey) -> None:
    own = new_key("operators", "admin:keys", "admin:tenants:read")
    with door.client(own["key"]) as client:

        def status(*scopes: str) -> int:
            body = {"scopes": list(scopes)}
            return client.post("/tenants/operators/keys", json=body).status_code

        assert status("admin:keys:write", "admin:tenants:read") == 201
        assert status("admin") == 403
        assert status("admin:*") == 403
        assert status("admin:tenants") == 403
        assert status("admin:keys", "admin:audit:read") == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/keys/{}/rotate", {}),
        ("PATCH", "/keys/{}", {"name": "mine"}),
        ("DELETE", "/keys/{}", None),
    ],
)
def test_nobody_takes_over_a_wider_key(
    door: Door, root: httpx.Client, new_key: MintKey, method: str, path: str, body: Any
) -> None:
    wide = new_key("operators", "admin")["record"]
    narrow = new_key("operators", "admin:keys")
    with door.client(narrow["key"]) as client:
        answer = client.request(method, path.format(wide["id"]), json=body)
        assert answer.status_code == 403
        assert client.get(f"/keys/{wide['id']}").json() == wide
        widened = client.patch(f"/keys/{narrow['record']['id']}", json={"scopes": ["admin"]})
        assert widened.status_code == 403


def test_a_revoked_operators_key_is_refused(
    door: Door, root: httpx.Client, new_key: MintKey
) -> None:
    made = new_key("operators", "admin:tiers:read")
    with door.client(made["key"]) as client:
        assert client.get("/tiers").status_code == 200
        assert root.delete(f"/keys/{made['record']['id']}").status_code == 200
        eventually(lambda: client.get("/tiers").status_code == 401, door.log.read_text)
