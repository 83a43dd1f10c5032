"""How long a page of a list takes when a tenant has very many finished jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import redis

from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id
from loadtests.bench.cases import CASES
from loadtests.jobs.results import Listing, Page
from loadtests.rollouts.gateway import Gateway, eventually

FILL: Final = Path(__file__).with_name("fill.lua").read_text()
PART: Final = 500
SPAN_MS: Final = 3_600_000
"""The jobs are spread over the hour before now."""
PAGE: Final = 50


def listing(gateway: Gateway, jobs: int, repeats: int) -> Listing:
    """Fill the store with copies of one finished job, and ask for pages.

    Args:
        gateway: That works on jobs.
        jobs: How many its tenant shall have.
        repeats: How often each page is asked for.
    """
    headers = {"authorization": f"Bearer {gateway.key}"}
    server: Any = redis.Redis.from_url(gateway.records_url)
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client, server:
        template = _finished(client)
        before = _memory(server)
        _fill(server, template, jobs)
        each = (_memory(server) - before) / jobs
        return Listing(jobs, each, list(_pages(client, repeats)))


def _finished(client: httpx.Client) -> str:
    body = {"model": CASES["wine"].model, "inputs": _example(client)}
    submitted = client.post("/api/v1/jobs", json=body).raise_for_status()
    path = str(submitted.headers["location"])

    def ended() -> str | None:
        view = client.get(path).raise_for_status().json()
        return view["job_id"] if view["status"] == "completed" else None

    return eventually(ended)


def _example(client: httpx.Client) -> Any:
    models = client.get(f"/api/v1/models/{CASES['wine'].model}/schema").raise_for_status().json()
    return models["examples"][0]


def _fill(server: Any, template: str, jobs: int) -> None:
    """Write without syncing each part: what is measured comes later."""
    fill = server.register_script(FILL)
    server.config_set("appendfsync", "everysec")
    now_ms = int(time.time() * 1000)
    for first in range(0, jobs, PART):
        count = min(PART, jobs - first)
        ids = [job_id((now_ms - SPAN_MS * (1 - (first + n) / jobs)) / 1000) for n in range(count)]
        fill(keys=[layout.PREFIX], args=[template, *ids])
    server.config_set("appendfsync", "always")


def _memory(server: Any) -> int:
    return int(server.info("memory")["used_memory"])


def _pages(client: httpx.Client, repeats: int) -> Iterator[Page]:
    middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - SPAN_MS / 2000))
    queries: Mapping[str, Mapping[str, Any]] = {
        "the newest": {},
        "by state": {"status": "completed"},
        "by state, of which there is none": {"status": "failed"},
        "by model": {"model": CASES["wine"].model},
        "by state, model and time": {
            "status": "completed", "model": CASES["wine"].model, "created_before": middle,
        },
        "200 before some time": {"created_before": middle, "limit": 200},
    }  # fmt: skip
    for what, query in queries.items():
        yield _timed(client, what, {"limit": PAGE, **query}, repeats)
    first = client.get("/api/v1/jobs", params={"limit": PAGE}).raise_for_status().json()
    yield _timed(client, "after a cursor", {"limit": PAGE, "cursor": first["next_cursor"]}, repeats)


def _timed(client: httpx.Client, what: str, query: Mapping[str, Any], repeats: int) -> Page:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        client.get("/api/v1/jobs", params=dict(query)).raise_for_status()
        times.append((time.perf_counter() - begun) * 1000)
    times.sort()
    return Page(what, times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
