"""The admin process on a real Valkey and on Debian's Redis, and clients of it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio as redis

from control_plane.admission.identity.apikeys import mint
from control_plane.sealing import Sealer
from tests.integration.admission.conftest import counter_process, free_port
from tests.integration.local.processes import eventually, role_process
from tests.integration.rollouts.house import House
from tests.stack import started_triton, variables

TIMEOUT_S = 60.0
SETTINGS = {
    "TIDEGATE_TRITON_URLS": "127.0.0.1:1",
    "TIDEGATE_KEY_PEPPER": "pepper of the tests, 32 characters",
    "TIDEGATE_DATA_KEY": "A" * 43,
    "TIDEGATE_TRUSTED_PROXIES": "127.0.0.1",
}
SEALER = Sealer(SETTINGS["TIDEGATE_DATA_KEY"])


class Door:
    """A running admin process.

    Attributes:
        url: Its address.
        records_url: Its system of record.
        root_key: A key that may do everything.
        log: What it wrote to standard output and standard error.
    """

    def __init__(self, url: str, records_url: str, root_key: str, log: Path) -> None:
        self.url = url
        self.records_url = records_url
        self.root_key = root_key
        self.log = log
        self._numbers = itertools.count()

    def client(self, key: str | None) -> httpx.Client:
        """A client with a key, or without one."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        url = f"{self.url}/admin/v1"
        return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def elsewhere(self) -> dict[str, str]:
        """Headers of a request from an address of its own, where no wrong key came from yet."""
        return {"x-forwarded-for": f"2001:db8:0:{next(self._numbers):x}::1"}

    def name(self) -> str:
        """An id that no test has used."""
        return f"test-{next(self._numbers)}"


@contextlib.contextmanager
def admin_process(records_url: str, folder: Path, **settings: str) -> Iterator[Door]:
    """`tidegate process admin` on a free port.

    Args:
        records_url: Its system of record.
        folder: Takes its log.
        settings: Further ones: ``triton_urls``.
    """
    key, _ = mint()
    environment = {
        **SETTINGS,
        "TIDEGATE_REDIS_URL": records_url,
        "TIDEGATE_BOOTSTRAP_ADMIN_KEY": key,
        **variables(**settings),
    }
    log = folder / "admin.log"
    with role_process("admin", environment, log) as url:
        yield Door(url, records_url, key, log)


@pytest.fixture(scope="session", params=["valkey", "redis-server"])
def records_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """``host:port`` of a running server, each of both kinds."""
    port = free_port()
    with counter_process(request.param, tmp_path_factory.mktemp("records"), port):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def door(records_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """An admin process; tests share its records, so each takes names of its own."""
    with admin_process(f"redis://{records_server}/0", tmp_path_factory.mktemp("admin")) as started:
        with started.client(started.root_key) as root:
            eventually(lambda: root.get("/tiers").json()["items"], started.log.read_text)
        yield started


@pytest.fixture(scope="session")
def root(door: Door) -> Iterator[httpx.Client]:
    """An operator who may do everything."""
    with door.client(door.root_key) as client:
        yield client


@pytest.fixture
def tenant(door: Door, root: httpx.Client) -> str:
    """Id of a tenant of the tier ``pro``."""
    name = door.name()
    assert root.post("/tenants", json={"id": name, "tier": "pro"}).status_code == 201
    return name


@pytest.fixture
def tier(door: Door, root: httpx.Client) -> str:
    """Name of a tier without tenants."""
    name = door.name()
    limits = {"requests": 10, "burst": 5, "concurrency": 2, "month_units": 1000}
    assert root.post("/tiers", json={"name": name, "limits": limits}).status_code == 201
    return name


class Workshop:
    """An admin process with a Triton and a model repository that tests add versions to.

    Attributes:
        door: The admin process.
        house: The repository.
        triton: gRPC address of the Triton.
        root: An operator who may do everything.
    """

    def __init__(self, door: Door, house: House, triton: str, root: httpx.Client) -> None:
        self.door = door
        self.house = house
        self.triton = triton
        self.root = root

    def model(self, **later: dict[str, Any]) -> str:
        """A model of its own with a stable version v1.0.0 that is ready.

        Args:
            later: Further versions (``v1_1_0``) and how they behave; those that can be are ready.
        """
        name = self.door.name()
        self.house.put("v1.0.0", model=name, status="stable")
        for version, behaviour in later.items():
            self.house.put(version.replace("_", "."), model=name, **behaviour)
        found = self.root.post("/repository/refresh")
        assert found.status_code == 200, found.text
        for version in ["v1.0.0", *(text.replace("_", ".") for text in later)]:
            self.settled(name, version)
        return name

    def settled(self, model: str, version: str) -> str:
        """How a version stands on the Triton once that has made up its mind."""

        def situation() -> str | None:
            (server,) = self.version(model, version)["servers"]
            state: str = server["state"]
            return state if state in {"ready", "refused", "failed"} else None

        return eventually(situation, self.door.log.read_text)

    def version(self, model: str, version: str) -> dict[str, Any]:
        """A version as the operators' API shows it."""
        shown = self.root.get(f"/models/{model}").json()["versions"]
        (found,) = [each for each in shown if each["version"] == version]
        return dict(found)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Tests share it, so each takes models of its own."""
    house = House(tmp_path_factory.mktemp("workshop"))
    house.put("v1.0.0", model="first", status="stable")
    folder, port = tmp_path_factory.mktemp("workshop-data"), free_port()
    with (
        started_triton(folder / "triton", house.repository) as triton,
        counter_process("valkey", folder, port),
        admin_process(
            f"redis://127.0.0.1:{port}/0",
            folder,
            triton_urls=triton.grpc,
            model_repository=str(house.repository),
            health_interval_s="0.1",
        ) as started,
        started.client(started.root_key) as root,
    ):
        yield Workshop(started, house, triton.grpc, root)


MintKey = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def new_key(root: httpx.Client) -> MintKey:
    """Makes a key: tenant and scopes to the answer."""

    def make(tenant: str, *scopes: str) -> dict[str, Any]:
        answer = root.post(f"/tenants/{tenant}/keys", json={"scopes": list(scopes)})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return make


@pytest.fixture
async def records(records_server: str) -> AsyncIterator[redis.Redis]:
    """A client of an empty database beside that of the admin process."""
    client = redis.Redis.from_url(f"redis://{records_server}/1")
    await client.flushdb()
    yield client
    await client.aclose()
