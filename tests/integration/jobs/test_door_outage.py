"""The public door of jobs while the server of record is away: never a 202 that is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from tests.integration.admission.conftest import counter_process, free_port
from tests.stack import Customer, Door, Gateway, Stack, until

PATH = "/api/v1/models/picky/jobs"
BODY = {"inputs": {"text": "x"}, "start_after_s": 3600}


class House:
    """A door with a server of record of its own, which can be stopped and started again."""

    def __init__(self, gateway: Gateway, customer: Customer, server: Any, url: str) -> None:
        self.gateway, self.customer, self.server, self.url = gateway, customer, server, url

    def submit(self, **headers: str) -> httpx.Response:
        return self.gateway.anonymous.post(
            PATH, json=BODY, headers={**self.customer.headers, **headers}
        )


@pytest.fixture(scope="module")
def house(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    port = free_port()
    with counter_process("valkey", tmp_path_factory.mktemp("records"), port) as server:
        url = f"redis://127.0.0.1:{port}/0"
        with redis.Redis.from_url(url) as client:
            client.config_set("appendonly", "yes")
            client.config_set("appendfsync", "always")
        with door(redis_url=url) as gateway:
            assert until(lambda: gateway.operators.get("/tiers").json()["items"], 30)
            customer = gateway.customer("predict", "jobs")
            made = House(gateway, customer, server, url)
            assert until(lambda: made.submit().status_code == 202, 30)
            yield made


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_server_that_is_full_takes_no_job(house: House) -> None:
    with redis.Redis.from_url(house.url) as client:
        client.config_set("maxmemory", "1mb")
        try:
            refused = house.submit()
            assert code(refused) == (503, "JOBS_UNAVAILABLE")
            assert int(refused.headers["retry-after"]) >= 1
        finally:
            client.config_set("maxmemory", "0")
    assert until(lambda: house.submit().status_code == 202, 30)


def test_every_job_that_was_accepted_is_there(house: House) -> None:
    accepted: list[str] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            answer = house.submit()
            if answer.status_code == 202:
                accepted.append(answer.json()["job_id"])
            else:
                assert answer.status_code == 503, answer.text
                assert answer.json()["error"]["code"] in {
                    "JOBS_UNAVAILABLE",
                    "ADMISSION_UNAVAILABLE",
                }

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send) for _ in range(4)]
        assert until(lambda: len(accepted) > 50, 30)
        with redis.Redis.from_url(house.url) as client:
            client.client_pause(3000)
            client.client_kill_filter(_type="normal", skipme=True)
        before = len(accepted)
        assert until(lambda: len(accepted) > before + 50, 30)
        stop.set()
        for sender in senders:
            sender.result()
    seen: set[str] = set()
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "200", **({"cursor": cursor} if cursor else {})}
        page = house.gateway.anonymous.get(
            "/api/v1/jobs", params=query, headers=house.customer.headers
        ).json()
        seen |= {job["job_id"] for job in page["items"]}
        cursor = page["next_cursor"]
    assert set(accepted) <= seen
    assert len(set(accepted)) == len(accepted)


def test_who_waits_hears_of_the_end_after_the_connection_broke(house: House) -> None:
    job_id = house.submit().json()["job_id"]
    path = f"/api/v1/jobs/{job_id}"
    with house.gateway.anonymous.stream(
        "GET", f"{path}/events", headers=house.customer.headers
    ) as answer:
        lines = answer.iter_lines()
        assert any("pending" in line for line in lines)
        with redis.Redis.from_url(house.url) as client:
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)
        assert until(
            lambda: (
                house.gateway.anonymous.post(
                    f"{path}/cancel", headers=house.customer.headers
                ).is_success
            ),
            10,
        )
        assert any("canceled" in line for line in lines)


def test_a_tenant_has_so_many_open_jobs_and_a_refused_one_costs_nothing(
    door: Door, stack: Stack
) -> None:
    customer = stack.customer("predict", "jobs")
    with door(jobs_pending_per_tenant="2") as narrow:

        def submit() -> httpx.Response:
            return narrow.anonymous.post(PATH, json=BODY, headers=customer.headers)

        assert until(lambda: submit().status_code == 202, 30)
        assert submit().status_code == 202
        refused = submit()
        assert code(refused) == (429, "TOO_MANY_JOBS")
        assert int(refused.headers["retry-after"]) >= 1

        def used() -> int:
            shown = narrow.anonymous.get("/api/v1/usage", headers=customer.headers).json()
            return int(shown["quota"]["month"]["used"])

        assert until(lambda: used() == 2, 10)
