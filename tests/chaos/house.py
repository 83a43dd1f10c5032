"""A whole deployment of processes that can be killed: two Valkeys, a Triton, one door, workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import psutil
import redis.asyncio as redis
from msgspec import Struct

from control_plane.admission.accounts.shapes import ApiKey, Tenant
from control_plane.admission.accounts.store import Store
from control_plane.admission.identity import apikeys
from control_plane.environment import load_settings
from control_plane.records.transaction import SYSTEM
from control_plane.settings import Settings
from tests.chaos.plan import TENANTS
from tests.integration.admission.conftest import await_answer, free_port, server_binary
from tests.stack import CHECKOUT, FOR_TESTS, SECRETS, variables

MODELS: Final = Path(__file__).parent / "models"
WORKERS: Final = 3
LEASE_S: Final = 2.0
ATTEMPTS: Final = 20
"""So many that no job runs out of them, however often its worker is killed."""
LOOK_S: Final = 0.02
SCOPES: Final = ("predict", "jobs")


class Role(Struct, frozen=True):
    """A process of the control plane that is started again whenever it has ended.

    Attributes:
        name: ``http`` or ``worker-1``.
        argv: Of its `tidegate` command.
    """

    name: str
    argv: tuple[str, ...]


class Valkey:
    """A server on a port and in a folder that it keeps when it is killed."""

    def __init__(self, folder: Path, port: int, *, durable: bool) -> None:
        """Start it and wait for its first answer.

        Args:
            folder: Its own.
            port: That nobody listens on.
            durable: True if every write is synced before it is answered.
        """
        folder.mkdir()
        sync = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
        self._argv = [server_binary("valkey"), "--port", str(port), "--bind", "127.0.0.1",
                      "--save", "", "--dir", str(folder), "--loglevel", "warning"]  # fmt: skip
        self._argv += sync
        self.port = port
        self._process = self._started()
        await_answer(port)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        """Kill -9, and start it again at once."""
        self.end()
        self._process = self._started()

    def end(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class House:
    """What runs, and the way to kill it.

    Attributes:
        settings: Of the control plane.
        url: Of the public API.
        keys: An API key of each tenant.
        records: The system of record.
        pids: Ids of the processes of the control plane, by their names.
        started: When each was started, in seconds of the monotonic clock.
        restarts: Processes that were started again because they had ended by themselves.
    """

    def __init__(
        self, folder: Path, records: Valkey, limits: Valkey, triton: str, models: Path
    ) -> None:
        """Let nothing run yet.

        Args:
            folder: Takes logs and counters.
            records: The system of record.
            limits: Counters and caches.
            triton: Address of a Triton.
            models: Its repository.
        """
        metrics = folder / "metrics"
        metrics.mkdir()
        self.folder, self.records = folder, records
        self.door = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        self.keys = {tenant: apikeys.mint()[0] for tenant in TENANTS}
        self.restarts: list[str] = []
        self.environment = {
            **variables(
                triton_urls=triton,
                redis_url=records.url,
                limits_redis_url=limits.url,
                model_repository=str(models),
                uploads_store=str(folder / "objects"),
                access_log="false",
                jobs_lease_s=str(LEASE_S),
                jobs_attempts=str(ATTEMPTS),
                jobs_long_slots="16",
                webhooks_in_flight_per_tenant="32",
                egress_networks="127.0.0.0/8",
                **SECRETS,
                **FOR_TESTS,
            ),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.settings: Settings = load_settings(self.environment)
        worker = ("process", "worker")
        http = ("process", "http", "--fd", str(self.door.fileno()))
        names = [f"worker-{number}" for number in range(WORKERS)]
        self._roles = [Role("http", http), *(Role(name, worker) for name in names)]
        self.pids: dict[str, int] = {}
        self.started: dict[str, float] = {}
        self._struck: set[int] = set()
        self._nursery = self._nurse()

    async def start(self) -> None:
        """Make the tenants, start the processes."""
        await self._found()
        assert self._answer() == "ready"
        for role in self._roles:
            self._start(role)

    async def keep(self) -> None:
        """Start again what has ended, at once, until cancelled."""
        while True:
            for role in self._roles:
                pid = self.pids[role.name]
                if not psutil.pid_exists(pid):
                    if pid not in self._struck:
                        self.restarts.append(role.name)
                    self._start(role)
            await asyncio.sleep(LOOK_S)

    async def kill(self, name: str) -> float:
        """Kill -9 a process, and wait until another stands in its place.

        Returns:
            When it was killed, in seconds of the monotonic clock.
        """
        pid = self.pids[name]
        self._struck.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        while self.pids[name] == pid:  # noqa: ASYNC110 (what comes is another process)
            await asyncio.sleep(LOOK_S)
        return killed

    def works(self, worker: str) -> bool:
        """Whether a worker has begun to take jobs since it was started."""
        pid = str(self.pids[worker])
        return f'"job_worker": "{pid}-' in Path(self._log(worker)).read_text()

    def stop(self, name: str) -> int:
        """SIGSTOP a process; its id."""
        pid = self.pids[name]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        return pid

    def end(self) -> None:
        """End everything."""
        for pipe in (self._nursery.stdin, self._nursery.stdout):
            assert pipe is not None
            pipe.close()
        self._nursery.wait()
        self.door.close()

    def _nurse(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=CHECKOUT,
            env={**os.environ, **self.environment, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[self.door.fileno()],
        )

    async def _found(self) -> None:
        async with redis.Redis.from_url(self.records.url) as server:
            store = Store(server)
            await store.ensure_standard_tiers()
            for tenant, key in self.keys.items():
                await store.create_tenant(Tenant(id=tenant, tier="internal"), SYSTEM)
                parsed = apikeys.parse(key)
                assert parsed is not None
                digests = (apikeys.digest(key, self.settings.key_pepper),)
                record = ApiKey(id=parsed.id, tenant=tenant, digests=digests, scopes=SCOPES)
                await store.create_key(record, SYSTEM)

    def _start(self, role: Role) -> None:
        order = {"argv": role.argv, "env": self.environment, "log": self._log(role.name)}
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        self.pids[role.name] = int(self._answer())
        self.started[role.name] = time.monotonic()

    def _answer(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline().strip()

    def _log(self, name: str) -> str:
        return str(self.folder / f"{name}.log")


@contextlib.asynccontextmanager
async def opened(
    folder: Path, triton: str, models: Path, *, durable: bool = True
) -> AsyncIterator[House]:
    """A house that stands, and falls at the end.

    Args:
        folder: Takes its files; must be there.
        triton: Address of a Triton with the models.
        models: Its repository.
        durable: True if the system of record syncs every write.
    """
    with (
        _server(folder / "records", durable=durable) as records,
        _server(folder / "limits", durable=False) as limits,
    ):
        house = House(folder, records, limits, triton, models)
        try:
            await house.start()
            keeping = asyncio.create_task(house.keep())
            try:
                yield house
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
        finally:
            house.end()


@contextlib.contextmanager
def _server(folder: Path, *, durable: bool) -> Iterator[Valkey]:
    server = Valkey(folder, free_port(), durable=durable)
    try:
        yield server
    finally:
        server.end()


def kept_models(folder: Path) -> Path:
    """A model repository with the models of these runs."""
    shutil.copytree(MODELS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
