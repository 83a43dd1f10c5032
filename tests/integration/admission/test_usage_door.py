"""GET /api/v1/usage: the caller's own tenant, and nothing of another."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import redis
import redis.asyncio as aredis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import ApiKey, Overrides, Tenant
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity.apikeys import digest, mint
from control_plane.records.transaction import SYSTEM
from tests.integration.admission.conftest import DURABLE, counter_process, free_port, shell_lines
from tests.integration.local.processes import role_process

PEPPER = "pepper of the tests, 32 characters"
TENANTS = ("acme", "other")
TIMEOUT_S = 60.0


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    port = free_port()
    with counter_process(request.param, tmp_path_factory.mktemp("usage"), port, *DURABLE):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
async def keys(server: str) -> dict[str, str]:
    """A key of each tenant; of both some usage in two months."""
    found = {}
    async with aredis.Redis.from_url(server) as client:
        store = Store(client)
        await store.ensure_standard_tiers()
        for number, name in enumerate(TENANTS):
            own = Overrides(month_units=1000, day_units=500)
            await store.create_tenant(Tenant(id=name, tier="pro", overrides=own), SYSTEM)
            text, key_id = mint()
            digests = (digest(text, PEPPER),)
            scopes = ("jobs:nothing",)
            key = ApiKey(id=key_id, tenant=name, digests=digests, scopes=scopes)
            await store.create_key(key, SYSTEM)
            found[name] = text
            for day in ("20240228", "20240229", "20240301"):
                for hour in ("00", "23"):
                    row = f"{hour}|k:{name}|wine|v1.0.0|"
                    mapping = {row + "r": 3, row + "u": 10 + number, row + "e": 1, row + "c": 2500}
                    await client.hset(layout.usage(f"t:{name}", day), mapping=mapping)
    return found


@pytest.fixture(scope="module")
def url(
    server: str, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An HTTP process without models."""
    folder: Path = tmp_path_factory.mktemp("http")
    settings = {
        "TIDEGATE_TRITON_URLS": "127.0.0.1:1",
        "TIDEGATE_KEY_PEPPER": PEPPER,
        "TIDEGATE_DATA_KEY": "A" * 43,
        "TIDEGATE_REDIS_URL": server,
        "TIDEGATE_BOOTSTRAP_ADMIN_KEY": mint()[0],
        "TIDEGATE_MODEL_REPOSITORY": str(folder),
    }
    with role_process("http", settings, folder.parent / "http.log") as address:
        yield address


def ask(url: str, key: str | None, **query: Any) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    if "start" in query:
        query["from"] = query.pop("start")
    return httpx.get(
        f"{url}/api/v1/usage", params=query, headers=headers, timeout=TIMEOUT_S, trust_env=False
    )


SPAN = {"start": "2024-02", "to": "2024-04"}


@pytest.mark.parametrize(
    ("group", "starts"),
    [
        ("month", {"2024-02-01": 4, "2024-03-01": 2}),
        ("day", {"2024-02-28": 2, "2024-02-29": 2, "2024-03-01": 2}),
        (None, {"2024-02-28": 2, "2024-02-29": 2, "2024-03-01": 2}),
    ],
)
def test_a_tenant_sees_its_own(
    url: str, keys: dict[str, str], group: str | None, starts: dict[str, int]
) -> None:
    for number, name in enumerate(TENANTS):
        answer = ask(url, keys[name], **SPAN, **({} if group is None else {"group": group}))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["tenant"], found["group"]) == (name, group or "day")
        assert (found["from"], found["to"]) == ("2024-02-01T00:00:00Z", "2024-04-01T00:00:00Z")
        assert found["next_cursor"] is None
        assert found["items"] == [
            {
                "start": f"{start}T00:00:00Z", "client": f"k:{name}", "model": "wine",
                "version": "v1.0.0", "requests": 3 * hours, "errors": hours,
                "units": (10 + number) * hours, "compute_ms": 2.5 * hours,
            }
            for start, hours in starts.items()
        ]  # fmt: skip
        other = next(each for each in TENANTS if each != name)
        assert other not in answer.text


def test_pages_by_the_hour(url: str, keys: dict[str, str]) -> None:
    whole = ask(url, keys["acme"], **SPAN, group="hour").json()["items"]
    assert [item["start"] for item in whole] == [
        f"2024-{day}T{hour}:00:00Z" for day in ("02-28", "02-29", "03-01") for hour in ("00", "23")
    ]
    found, query = [], {**SPAN, "group": "hour", "limit": 4}
    for _ in range(2):
        page = ask(url, keys["acme"], **query).json()
        found += page["items"]
        query["cursor"] = page["next_cursor"]
    assert (found, page["next_cursor"]) == (whole, None)


def test_the_standing_is_that_of_the_headers(url: str, server: str, keys: dict[str, str]) -> None:
    answer = ask(url, keys["acme"])
    quota = answer.json()["quota"]
    assert (quota["month"]["limit"], quota["day"]["limit"]) == (1000, 500)
    assert str(quota["day"]["remaining"]) == answer.headers["x-quota-remaining"] == "500"
    assert str(quota["day"]["resets_at"]) == answer.headers["x-quota-reset"]
    with redis.Redis.from_url(server) as client:
        client.hincrby(layout.state("t:acme"), "mu", 700)
    answer = ask(url, keys["acme"])
    quota = answer.json()["quota"]
    assert (quota["month"]["used"], quota["month"]["remaining"]) == (700, 300)
    assert str(quota["month"]["remaining"]) == answer.headers["x-quota-remaining"]
    assert str(quota["month"]["resets_at"]) == answer.headers["x-quota-reset"]
    with redis.Redis.from_url(server) as client:
        client.hincrby(layout.state("t:acme"), "mu", -700)


def test_without_a_key_it_is_401(url: str) -> None:
    answer = ask(url, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ("from", {"start": "2024"}),
        ("from", {"start": "2020-01", "to": "2024-04"}),
        ("to", {"start": "2024-02", "to": "2024-02"}),
        ("group", {"group": "year"}),
        ("group", {"group": ""}),
        ("limit", {"limit": "0"}),
        ("limit", {"limit": "1001"}),
        ("limit", {"limit": "-1"}),
        ("cursor", {"cursor": "x"}),
        ("cursor", {"cursor": ""}),
        ("tenant", {"tenant": "other"}),
    ],
)
def test_bad_parameters_are_named(
    url: str, keys: dict[str, str], parameter: str, query: dict[str, str]
) -> None:
    answer = ask(url, keys["acme"], **query)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["details"]["parameter"]) == ("INVALID_PARAMETER", parameter)


def test_the_commands_of_the_page_work(url: str, keys: dict[str, str]) -> None:
    environment = {**os.environ, "TIDEGATE_URL": url, "TIDEGATE_KEY": keys["acme"]}
    lines = shell_lines("usage.md", "TIDEGATE_KEY")
    assert len(lines) == 2
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], env=environment, capture_output=True, check=True
        )
        assert json.loads(done.stdout)["tenant"] == "acme"


def test_it_is_as_openapi_says(url: str, keys: dict[str, str]) -> None:
    headers = {"authorization": f"Bearer {keys['acme']}"}
    document = httpx.get(f"{url}/openapi.json", headers=headers, trust_env=False).json()
    operation = document["paths"]["/api/v1/usage"]["get"]
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert names == ["from", "to", "group", "cursor", "limit"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    for query in ({}, {**SPAN, "limit": 1}):
        answer = ask(url, keys["acme"], **query).json()
        jsonschema_rs.validate({**schema, "components": document["components"]}, answer)
