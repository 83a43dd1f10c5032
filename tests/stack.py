"""The real servers that tests talk to: started once a session, ended by process id.

A pytest plugin: each conftest that needs the fixtures calls :func:`register`.

- ``stack``: `tidegate up` on the project's own models.
- ``lab``: the models of ``tests/integration/models`` (slow ones, picky ones, broken ones) on a
  Triton of their own, behind a `tidegate serve`.
- ``door``: starts further `tidegate serve` with other settings against any Triton.

Who sends one error after the other is slowed down (docs/api.md, Limits), and tests do little else:
they come as a crowd of clients, each request with the next of the demonstration tenant's many keys.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from control_plane.admission.identity import apikeys
from tests.integration.local.processes import Running, await_gone, eventually, running

CHECKOUT = Path(__file__).resolve().parents[1]
REPOSITORY = CHECKOUT / "model_repository"
LAB_MODELS = CHECKOUT / "tests" / "integration" / "models"
TIMEOUT_S = 60.0
CROWD = 60
"""Keys of the demonstration tenant that requests take in turn."""
SECRETS = {
    "key_pepper": "a pepper for tests, 32 characters",
    "data_key": "A" * 43,
    "bootstrap_admin_key": apikeys.mint()[0],
}
"""The secret settings of a `tidegate serve`."""
FOR_TESTS = {"abuse_rules": '{"on": false}', "trusted_proxies": "127.0.0.1"}
"""Nobody is judged, and a request may say from which address it comes."""
RECEIVERS = "127.64.0.1/32"
"""Where a test may receive the webhooks of a `tidegate up`."""
OBJECTS = Path(tempfile.gettempdir()) / "tidegate-objects-of-tests"
"""Where objects lie of control planes that do not say where."""
_SERVING = re.compile(r"serving on (http://\S+), operators on (http://\S+)")

_ADDRESSES = itertools.count(1)

Door = Callable[..., AbstractContextManager["Gateway"]]


class Customer(NamedTuple):
    """A tenant and a key of it.

    Attributes:
        tenant: Its id.
        key: The key.
    """

    tenant: str
    key: str

    @property
    def key_id(self) -> str:
        """Public part of the key."""
        return self.key.split("_")[2]

    @property
    def headers(self) -> dict[str, str]:
        """Of a request with the key."""
        return {"authorization": f"Bearer {self.key}"}


class Crowd(httpx.Auth):
    """Sends each request with the next of some keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._next = itertools.cycle(keys)

    def header(self) -> str:
        """The value of Authorization for the next request."""
        return f"Bearer {next(self._next)}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not {"authorization", "x-api-key"} & request.headers.keys():
            request.headers["authorization"] = self.header()
        yield request


class Gateway:
    """A running control plane.

    Attributes:
        run: Its process.
        http: URL of the public API.
        admin: URL of the operators' API.
        crowd: Keys for requests that ``client`` does not send.
        client: A client of the public API that sends a key, unless a request has its own.
        anonymous: A client of the public API without a key.
        operators: A client of the operators' API.
    """

    def __init__(
        self, run: Running, http: str, admin: str, keys: Sequence[str], admin_key: str
    ) -> None:
        self.run = run
        self.http = http
        self.admin = admin
        self.crowd = Crowd(keys)
        self.client = httpx.Client(base_url=http, timeout=TIMEOUT_S, auth=self.crowd)
        self.anonymous = httpx.Client(base_url=http, timeout=TIMEOUT_S)
        self.operators = httpx.Client(
            base_url=f"{admin}/admin/v1",
            timeout=TIMEOUT_S,
            headers={"authorization": f"Bearer {admin_key}"},
        )

    def customer(self, *scopes: str, **limits: Any) -> Customer:
        """Make a tenant.

        Args:
            scopes: Of its key; by default it may predict with every model.
            limits: In place of those of the tier ``internal``.
        """
        tenant = f"customer-{uuid.uuid4().hex[:12]}"
        body = {"id": tenant, "tier": "internal", "overrides": limits}
        made = self.operators.post("/tenants", json=body)
        assert made.status_code == 201, made.text
        return Customer(tenant, self.new_key(tenant, *scopes))

    def new_key(self, tenant: str, *scopes: str) -> str:
        """Make a key of a tenant; without scopes it may predict with every model."""
        body = {"scopes": scopes or ("predict",)}
        made = self.operators.post(f"/tenants/{tenant}/keys", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    @staticmethod
    def elsewhere() -> dict[str, str]:
        """Headers of a request that comes from an address which no other came from."""
        number = next(_ADDRESSES)
        return {"x-forwarded-for": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"}

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Close the clients at the end."""
        with self.client, self.anonymous, self.operators:
            yield

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
        keys: API keys of the demonstration tenant.
        admin_key: API key of the operators' API.
    """

    def __init__(self, run: Running, data: Path) -> None:
        self.data = data
        self.endpoints: dict[str, str] = json.loads((data / "endpoints.json").read_text())
        credentials = json.loads((data / "credentials.json").read_text())
        self.keys: list[str] = [credentials["demo_key"]]
        self.admin_key: str = credentials["admin_key"]
        http, admin = f"http://{self.endpoints['http']}", f"http://{self.endpoints['admin']}"
        super().__init__(run, http, admin, self.keys, self.admin_key)

    def gather(self, count: int) -> None:
        """Let further requests come from a crowd of as many keys."""
        scopes = ("predict", "jobs", "explain", "uploads")
        for _ in range(count - len(self.keys)):
            self.keys.append(self.new_key("demo", *scopes))
        self.crowd = Crowd(self.keys)
        self.client.auth = self.crowd

    @property
    def redis_url(self) -> str:
        """URL of its system of record."""
        return self._server("valkey")

    @property
    def limits_redis_url(self) -> str:
        """URL of its counters and caches."""
        return self._server("valkey_limits")

    @property
    def key_pepper(self) -> str:
        """Secret of the keyed hashes of its API keys."""
        return (self.data / "key-pepper").read_text().strip()

    @property
    def shared(self) -> dict[str, str]:
        """Settings of a further control plane for the same tenants."""
        return {
            "redis_url": self.redis_url,
            "limits_redis_url": self.limits_redis_url,
            "key_pepper": self.key_pepper,
            "uploads_store": str(self.data / "objects"),
            **FOR_TESTS,
        }

    def _server(self, name: str) -> str:
        password = (self.data / "valkey-password").read_text().strip()
        return f"redis://:{password}@{self.endpoints[name]}/0"


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
    """Settings (``triton_urls``) as environment variables, secrets included."""
    return variables(**{**SECRETS, "uploads_store": str(OBJECTS), **settings})


def variables(**settings: str) -> dict[str, str]:
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
    with stopped_at_the_end(argv, variables(**settings)) as run:
        run.await_line("ready http://")
        stack = Stack(run, data)
        with stack.opened():
            yield stack


@contextlib.contextmanager
def started_triton(data: Path, repository: Path) -> Iterator[Triton]:
    """A `tidegate triton` that is ready."""
    argv = tidegate("triton", "--data-dir", str(data), "--model-repository", str(repository))
    with stopped_at_the_end(argv, {}) as run:
        run.await_line("ready grpc://")
        yield Triton(run, repository, data)


@contextlib.contextmanager
def started_door(
    *options: str, wait: str = "/healthz", keys: Sequence[str] = ("none",), **settings: str
) -> Iterator[Gateway]:
    """A `tidegate serve`, after one path of it has been answered 200.

    Args:
        options: Of the command.
        wait: The path.
        keys: API keys that its system of record knows.
        settings: Of the control plane.
    """
    argv = tidegate("serve", "--port", "0", "--admin-port", "0", *options)
    with stopped_at_the_end(argv, environment(**settings)) as run:

        def serving() -> re.Match[str] | None:
            return _SERVING.search(run.log())

        found = eventually(serving, run.log, run.popen)
        gateway = Gateway(run, *found.groups(), keys, SECRETS["bootstrap_admin_key"])
        with gateway.opened():
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
    """The project's own models behind a `tidegate up`.

    Anonymous callers get far more than by default, as most tests share one address, and rules
    against abuse are off; tests of limits bring tenants of their own (:meth:`Gateway.customer`)
    or come from an address of their own (:meth:`Gateway.elsewhere`).
    """
    data = tmp_path_factory.mktemp("stack")
    with started_up(data, REPOSITORY, egress_networks=RECEIVERS, **FOR_TESTS) as started:
        started.gather(CROWD)
        wide = {"requests": 1_000_000, "burst": 100_000, "concurrency": 1000, "max_batch": 10}
        answer = started.operators.patch("/tiers/anonymous", json={"limits": wide})
        assert answer.status_code == 200, answer.text
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
            "model_repository": str(lab_triton.repository),
            **stack.shared,
        }
        return started_door(*options, keys=stack.keys, **{**defaults, **settings})

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
