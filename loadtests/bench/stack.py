"""Who is asked: starts Tidegate with its Triton, and the gateway in front of the same Triton.

Tidegate is asked with the key of its demonstration tenant: identity, limits, quota and usage are
on. The others ask for no key.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from loadtests.bench.cases import ROOT
from loadtests.bench.processes import Tree, trees_of

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S: Final = 120
STOP_TIMEOUT_S: Final = 60
PROBE_INTERVAL_S: Final = 0.02


class Stack(Struct, frozen=True):
    """Everything that was started.

    Attributes:
        urls: Base address of each target.
        trees: Processes by role: ``triton``, ``fastapi``, ``tidegate`` (HTTP), ``others``.
        endpoints: Addresses of Tidegate's parts, ``host:port``.
        data_dir: Tidegate's data directory.
        key: API key of Tidegate's demonstration tenant.
    """

    urls: dict[str, str]
    trees: dict[str, Tree]
    endpoints: dict[str, str]
    data_dir: Path
    key: str

    def __repr__(self) -> str:
        return f"Stack({self.urls})"

    @property
    def limits_url(self) -> str:
        """URL of Tidegate's limits server, with its password."""
        password = (self.data_dir / "valkey-password").read_text().strip()
        return f"redis://:{password}@{self.endpoints['valkey_limits']}/0"


@contextmanager
def started(folder: Path) -> Iterator[Stack]:
    """Start everything below a folder, and stop it at the end.

    Raises:
        RuntimeError: If a part does not come up; its log is in the folder.
    """
    data_dir = folder / "data"
    with ExitStack() as opened:
        up = [sys.executable, "-m", "control_plane", "up", "--port", "0", "--admin-port", "0",
              "--data-dir", str(data_dir)]  # fmt: skip
        tidegate = opened.enter_context(_process(up, folder / "tidegate.log", {}))
        endpoints = _endpoints(tidegate, data_dir / "endpoints.json", folder / "tidegate.log")
        port = _free_port()
        gateway = opened.enter_context(
            _process(_uvicorn(port), folder / "fastapi.log",
                     {"TRITON_GRPC": endpoints["triton_grpc"]})
        )  # fmt: skip
        urls = {
            "triton": f"http://{endpoints['triton_http']}",
            "fastapi": f"http://127.0.0.1:{port}",
            "tidegate": f"http://{endpoints['http']}",
        }
        _await_ok(gateway, f"{urls['fastapi']}/openapi.json", folder / "fastapi.log")
        trees = {**trees_of(tidegate.pid), "fastapi": Tree([gateway.pid])}
        key = _credentials(data_dir)["demo_key"]
        _await_ok(tidegate, f"{urls['tidegate']}/api/v1/models", folder / "tidegate.log", key)
        yield Stack(urls, trees, endpoints, data_dir, key)


def start_seconds(stack: Stack, folder: Path, repeats: int) -> float:
    """Median time from the start of a control plane to its readiness, Triton being up, seconds."""
    data = stack.data_dir
    password = (data / "valkey-password").read_text().strip()
    servers = f"redis://:{password}@"
    environment = {
        "TIDEGATE_TRITON_URLS": stack.endpoints["triton_grpc"],
        "TIDEGATE_REDIS_URL": f"{servers}{stack.endpoints['valkey']}/0",
        "TIDEGATE_LIMITS_REDIS_URL": stack.limits_url,
        "TIDEGATE_DEFAULT_MODEL": "sentiment",
        "TIDEGATE_KEY_PEPPER": (data / "key-pepper").read_text().strip(),
        "TIDEGATE_DATA_KEY": (data / "data-key").read_text().strip(),
        "TIDEGATE_BOOTSTRAP_ADMIN_KEY": _credentials(data)["admin_key"],
    }
    log = folder / "serve.log"
    times = []
    for _ in range(repeats):
        port = _free_port()
        command = [sys.executable, "-m", "control_plane", "serve", "--port", str(port),
                   "--admin-port", "0"]  # fmt: skip
        begun = time.perf_counter()
        with _process(command, log, environment) as serving:
            _await_ok(serving, f"http://127.0.0.1:{port}/ready", log)
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _uvicorn(port: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "loadtests.peers.fastapi_gateway:app", "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip


@contextmanager
def _process(
    command: list[str], log: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _endpoints(process: subprocess.Popen[bytes], path: Path, log: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not path.exists():
        _still_running(process, log, deadline)
        time.sleep(0.1)
    endpoints: dict[str, str] = json.loads(path.read_text())
    _await_ok(process, f"http://{endpoints['http']}/ready", log)
    return endpoints


def _credentials(data_dir: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data_dir / "credentials.json").read_text())
    return found


def _await_ok(
    process: subprocess.Popen[bytes], url: str, log: Path, key: str | None = None
) -> None:
    """Ask until the answer is good; the demonstration tenant is made once the servers are up."""
    deadline = time.monotonic() + START_TIMEOUT_S
    named = {} if key is None else {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(url, headers=named)  # noqa: S310 (our own address)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310 (our own address)
                return
        except urllib.error.HTTPError as error:
            _still_running(process, log, deadline, error.read().decode(errors="replace"))
        except OSError:
            _still_running(process, log, deadline)
        time.sleep(PROBE_INTERVAL_S)


def _still_running(
    process: subprocess.Popen[bytes], log: Path, deadline: float, answer: str = ""
) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        lines = log.read_text(errors="replace").splitlines()
        told = [line for line in lines if '"event":"request"' not in line][-15:]
        raise RuntimeError("\n".join(["a server did not come up; its log:", *told, answer]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])
