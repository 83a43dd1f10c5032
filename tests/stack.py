"""The real servers that tests talk to: started once a session, ended by process id.

A pytest plugin: each conftest that needs the fixtures calls :func:`register`.

- ``stack``: `tidegate up` on the project's own models.
- ``lab``: the models of ``tests/integration/models`` (slow ones, picky ones, broken ones) on a
  Triton of their own, behind a `tidegate serve`.
- ``door``: starts further `tidegate serve` with other settings against any Triton.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.local.processes import Running, await_gone, eventually, running

CHECKOUT = Path(__file__).resolve().parents[1]
REPOSITORY = CHECKOUT / "model_repository"
LAB_MODELS = CHECKOUT / "tests" / "integration" / "models"
TIMEOUT_S = 60.0
_SERVING = re.compile(r"serving on (http://\S+), operators on (http://\S+)")

Door = Callable[..., AbstractContextManager["Gateway"]]


class Gateway:
    """A running control plane.

    Attributes:
        run: Its process.
        http: URL of the public API.
        admin: URL of the operators' API.
        client: A client of the public API.
    """

    def __init__(self, run: Running, http: str, admin: str) -> None:
        self.run = run
        self.http = http
        self.admin = admin
        self.client = httpx.Client(base_url=http, timeout=TIMEOUT_S)

    def predict(
        self,
        inputs: Any,
        path: str = "/api/v1/predict",
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Send a prediction; ``body`` is what stands beside the inputs."""
        return self.client.post(path, json={"inputs": inputs, **body}, headers=headers)

    def model(self, name: str, inputs: Any, **settings: Any) -> httpx.Response:
        """Send a prediction to a named model."""
        return self.predict(inputs, f"/api/v1/models/{name}/predict", **settings)

    def scrape(self) -> str:
        """The text of the operators' /metrics."""
        return httpx.get(f"{self.admin}/metrics", timeout=TIMEOUT_S).text

    def samples(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that have the labels."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        total = 0.0
        for line in self.scrape().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(pair in series for pair in wanted):
                total += float(value)
        return total

    def ready(self) -> int:
        """Status of /ready; 0 if nothing answers."""
        try:
            return self.client.get("/ready").status_code
        except httpx.TransportError:
            return 0


class Stack(Gateway):
    """A `tidegate up`.

    Attributes:
        data: Its data directory.
        endpoints: Addresses by name, ``host:port``.
    """

    def __init__(self, run: Running, data: Path) -> None:
        self.data = data
        self.endpoints: dict[str, str] = json.loads((data / "endpoints.json").read_text())
        super().__init__(
            run, f"http://{self.endpoints['http']}", f"http://{self.endpoints['admin']}"
        )

    @property
    def redis_url(self) -> str:
        """URL of its system of record."""
        password = (self.data / "valkey-password").read_text().strip()
        return f"redis://:{password}@{self.endpoints['valkey']}/0"


class Triton:
    """A `tidegate triton`.

    Attributes:
        run: Its process.
        repository: Its model repository.
        grpc: Address, ``host:port``.
        http: Address, ``host:port``.
    """

    def __init__(self, run: Running, repository: Path, data: Path) -> None:
        endpoints = json.loads((data / "endpoints.json").read_text())
        self.run = run
        self.repository = repository
        self.grpc: str = endpoints["triton_grpc"]
        self.http: str = endpoints["triton_http"]


def tidegate(*arguments: str) -> list[str]:
    """A command line of this checkout's `tidegate`."""
    return [sys.executable, "-m", "control_plane", *arguments]


def environment(**settings: str) -> dict[str, str]:
    """Settings (``triton_urls``) as environment variables."""
    return {f"TIDEGATE_{name.upper()}": value for name, value in settings.items()}


@contextlib.contextmanager
def stopped_at_the_end(argv: list[str], env: dict[str, str]) -> Iterator[Running]:
    """A process that has to end with status 0 and leave nothing behind when told to stop."""
    with running(argv, {"PYTHONPATH": str(CHECKOUT), **env}) as run:
        try:
            yield run
        finally:
            if run.popen.poll() is None:
                below = run.descendants()
                run.signal(signal.SIGTERM)
                assert run.wait() == 0, run.log()[-5000:]
                await_gone(below)


@contextlib.contextmanager
def started_up(data: Path, repository: Path, *options: str, **settings: str) -> Iterator[Stack]:
    """A `tidegate up` that is ready."""
    argv = tidegate(
        *("up", "--port", "0", "--admin-port", "0", "--data-dir", str(data)),
        *("--model-repository", str(repository), *options),
    )
    with stopped_at_the_end(argv, environment(**settings)) as run:
        run.await_line("ready http://")
        stack = Stack(run, data)
        with stack.client:
            yield stack


@contextlib.contextmanager
def started_triton(data: Path, repository: Path) -> Iterator[Triton]:
    """A `tidegate triton` that is ready."""
    argv = tidegate("triton", "--data-dir", str(data), "--model-repository", str(repository))
    with stopped_at_the_end(argv, {}) as run:
        run.await_line("ready grpc://")
        yield Triton(run, repository, data)


@contextlib.contextmanager
def started_door(*options: str, wait: str = "/healthz", **settings: str) -> Iterator[Gateway]:
    """A `tidegate serve`, after one path of it has been answered 200."""
    argv = tidegate("serve", "--port", "0", "--admin-port", "0", *options)
    with stopped_at_the_end(argv, environment(**settings)) as run:

        def serving() -> re.Match[str] | None:
            return _SERVING.search(run.log())

        found = eventually(serving, run.log, run.popen)
        gateway = Gateway(run, *found.groups())
        with gateway.client:
            eventually(lambda: gateway.client.get(wait).is_success, run.log, run.popen)
            yield gateway


def copied_models(folder: Path, *names: str, source: Path = REPOSITORY) -> Path:
    """A model repository of its own with some models of another."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in names:
        shutil.copytree(source / name, folder / name, ignore=ignored)
    return folder


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Whether a condition comes true within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The project's own models behind a `tidegate up`."""
    with started_up(tmp_path_factory.mktemp("stack"), REPOSITORY) as started:
        yield started


@pytest.fixture(scope="session")
def lab_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton with the models made for tests."""
    names = [path.name for path in LAB_MODELS.iterdir() if path.is_dir()]
    repository = copied_models(tmp_path_factory.mktemp("lab"), *names, source=LAB_MODELS)
    shutil.copytree(repository / "sleeper" / "1", repository / "sleeper_after" / "1",
                    ignore=shutil.ignore_patterns("contract.yaml"))  # fmt: skip
    with started_triton(tmp_path_factory.mktemp("lab-data"), repository) as started:
        yield started


@pytest.fixture(scope="session")
def door(stack: Stack, lab_triton: Triton) -> Door:
    """Starts a `tidegate serve` against the lab's Triton; settings may say otherwise."""

    def start(*options: str, **settings: str) -> AbstractContextManager[Gateway]:
        defaults = {
            "triton_urls": lab_triton.grpc,
            "redis_url": stack.redis_url,
            "model_repository": str(lab_triton.repository),
        }
        return started_door(*options, **{**defaults, **settings})

    return start


@pytest.fixture(scope="session")
def lab(door: Door) -> Iterator[Gateway]:
    """The models made for tests, without a default model."""
    with door() as started:
        eventually(lambda: "sleeper v1.0.0" in ready_models(started), started.run.log)
        yield started


def ready_models(gateway: Gateway) -> list[str]:
    """The versions that /ready calls ready."""
    lines = gateway.client.get("/ready").json()["models"]
    return [f"{line['name']} {line['version']}" for line in lines if line["ready"]]


def register(config: pytest.Config) -> None:
    """Make the fixtures known, once."""
    module = sys.modules[__name__]
    if not config.pluginmanager.is_registered(module):
        config.pluginmanager.register(module, "tidegate-stack")
