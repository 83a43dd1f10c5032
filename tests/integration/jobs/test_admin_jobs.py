"""Operators see, cancel and replay jobs of any tenant; each step is audited."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import redis as blocking
import redis.asyncio as redis
from click.testing import CliRunner

from control_plane.cli import main
from control_plane.jobs import layout
from control_plane.jobs.shapes import State
from control_plane.jobs.store import JobStore
from control_plane.setting_groups import JobSettings
from tests.integration.admin.conftest import SEALER, Door, admin_process
from tests.integration.jobs.submissions import (
    asked,
    dead_letter,
    done,
    failed,
    hold,
    kept,
    taken,
)

NOBODY = f"job_{'0' * 32}"


@pytest.fixture(scope="module")
def desk(durable_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """An admin process whose system of record may keep jobs."""
    with blocking.Redis.from_url(durable_server) as client:
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "always")
        client.flushall()
    with admin_process(durable_server, tmp_path_factory.mktemp("admin")) as started:
        yield started


@pytest.fixture
async def root(desk: Door) -> AsyncIterator[httpx.AsyncClient]:
    """An operator who may do everything."""
    async with httpx.AsyncClient(
        base_url=f"{desk.url}/admin/v1",
        headers={"authorization": f"Bearer {desk.root_key}"},
        timeout=60,
        trust_env=False,
    ) as client:
        yield client


@pytest.fixture
async def records(desk: Door) -> AsyncIterator[redis.Redis]:
    """A client of the system of record, whose audit log the tests share."""
    async with redis.Redis.from_url(desk.records_url) as client:
        yield client


@pytest.fixture
def worked(records: redis.Redis) -> JobStore:
    """Where jobs are tried once."""
    return JobStore(records, JobSettings(attempts=1))


async def audited(root: httpx.AsyncClient, target: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await root.get("/audit", params={"target": target})).json()[
        "items"
    ]
    return items


async def test_a_dead_letter_becomes_a_further_job(
    root: httpx.AsyncClient, worked: JobStore
) -> None:
    name = await dead_letter(worked, SEALER, "https://example.com/told")
    dead = (await root.get("/jobs/dead")).json()["items"]
    assert name in [job["id"] for job in dead]
    answer = await root.post(f"/jobs/{name}/replay")
    assert answer.status_code == 201, answer.text
    further = answer.json()["job"]
    assert answer.json()["replay_of"] == name
    assert answer.headers["location"] == f"/admin/v1/jobs/{further['id']}"
    assert (further["state"], further["units"], further["tenant"]) == ("pending", 0, "acme")
    assert (await root.get(f"/jobs/{name}")).json()["state"] == "failed"
    assert name not in [job["id"] for job in (await root.get("/jobs/dead")).json()["items"]]
    assert (await root.post(f"/jobs/{name}/replay")).json()["job"]["id"] == further["id"]
    [claim] = await taken(worked, further["id"])
    assert SEALER.unseal(claim.spec, layout.spec_place(further["id"])) == b'{"inputs": 1}'
    [found] = await worked.with_hooks([further["id"]])
    assert found is not None
    assert (
        SEALER.unseal(found[1] or "", layout.hook_place(further["id"]))
        == b"https://example.com/told"
    )
    assert await worked.finish([done(claim)]) == [True]
    [entry] = await audited(root, f"job:{further['id']}")
    assert (entry["action"], entry["before"]) == ("job.replay", None)
    assert entry["after"]["replay_of"] == name


async def test_a_dead_letter_of_another_data_key_stays_one(
    root: httpx.AsyncClient, worked: JobStore
) -> None:
    [name] = await kept(worked, asked(spec="of another data key"))
    [claim] = await taken(worked, name)
    assert await worked.retry(hold(claim), failed(claim), 0)
    answer = await root.post(f"/jobs/{name}/replay")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "The job was encrypted with another data key"
    assert name in [job["id"] for job in (await root.get("/jobs/dead")).json()["items"]]


async def test_what_has_not_failed_is_not_replayed(
    root: httpx.AsyncClient, worked: JobStore
) -> None:
    [name] = await kept(worked, asked())
    answer = await root.post(f"/jobs/{name}/replay")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "REVISION_CONFLICT")
    assert answer.json()["error"]["details"] == {"status": "pending"}
    assert (await root.post(f"/jobs/{name}/cancel")).status_code == 200
    assert (await root.post(f"/jobs/{name}/replay")).status_code == 409


async def test_a_job_is_shown_without_its_payload_and_canceled(
    root: httpx.AsyncClient, worked: JobStore
) -> None:
    [name] = await kept(worked, asked(units=4, spec="secret"))
    shown = await root.get(f"/jobs/{name}")
    assert shown.status_code == 200
    assert "secret" not in shown.text
    assert shown.json()["ended_at"] is None
    assert (await root.post(f"/jobs/{name}/cancel")).json()["refunded_units"] == 4
    assert (await root.post(f"/jobs/{name}/cancel")).json()["state"] == "canceled"
    [entry] = await audited(root, f"job:{name}")
    assert (entry["action"], entry["who"][:2]) == ("job.cancel", "k:")
    assert (entry["before"]["state"], entry["after"]["state"]) == ("pending", "canceled")


async def test_an_end_stays_whoever_cancels(root: httpx.AsyncClient, worked: JobStore) -> None:
    name = await dead_letter(worked, SEALER)
    answer = await root.post(f"/jobs/{name}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "JOB_ENDED")
    assert (await worked.find(name)).state is State.FAILED
    assert await audited(root, f"job:{name}") == []


@pytest.mark.parametrize("name", [NOBODY, "dead-or-alive", "job_x", "x" * 300])
@pytest.mark.parametrize("action", ["", "/cancel", "/replay"])
async def test_what_is_no_job_is_not_found(root: httpx.AsyncClient, name: str, action: str) -> None:
    answer = await root.request("POST" if action else "GET", f"/jobs/{name}{action}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_dead_letters_come_in_pages(root: httpx.AsyncClient, worked: JobStore) -> None:
    names = [await dead_letter(worked, SEALER) for _ in range(3)]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await root.get("/jobs/dead", params=query)).json()
        found += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found[:3] == names[::-1]
    assert len(found) == len(set(found))
    assert (await root.get("/jobs/dead", params={"cursor": "x"})).status_code == 400
    assert (await root.get("/jobs/dead", params={"limit": 0})).status_code == 400


async def test_the_commands(desk: Door, worked: JobStore) -> None:
    name = await dead_letter(worked, SEALER)
    environment = {"TIDEGATE_ADMIN_URL": desk.url, "TIDEGATE_ADMIN_KEY": desk.root_key}

    def run(*argv: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, ["jobs", *argv], env=environment)
        assert result.exit_code == status, result.output
        return result.output

    assert name in run("dead")
    assert name in [job["id"] for job in json.loads(run("dead", "--json"))]
    assert "MODEL_FAILED" in run("show", name)
    told = run("replay", name)
    assert told.endswith(f" repeats {name}\n")
    further = told.split(" ", 1)[0]
    assert run("cancel", further) == f"{further} is canceled\n"
    assert json.loads(run("show", further, "--json"))["state"] == "canceled"
    assert "NOT_FOUND" in run("show", NOBODY, status=1)
    assert "JOB_ENDED" in run("cancel", name, status=1)
