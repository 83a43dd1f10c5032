"""Several HTTP processes of one address share the connections and stand in for each other."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from tests.integration.local.processes import await_gone, eventually, kill, running
from tests.stack import Gateway, copied_models, environment, started_door, tidegate

CONNECTIONS = 64
SHARE = 10
"""Far less than half: 64 fair tosses give fewer to one side once in 10 million times."""
NOBODY = {"triton_urls": "127.0.0.1:1", "redis_url": "redis://127.0.0.1:1/0"}
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(copied_models(tmp_path_factory.mktemp("models"), "wine_logistic"))


@pytest.fixture(scope="module")
def pair(repository: str) -> Iterator[Gateway]:
    """Two workers without the servers behind them: what is tested here is their door."""
    with started_door("--workers", "2", model_repository=repository, **NOBODY) as started:
        yield started


def address(gateway: Gateway) -> tuple[str, int]:
    parts = urlsplit(gateway.http)
    return str(parts.hostname), int(parts.port or 0)


def workers(gateway: Gateway) -> list[psutil.Process]:
    return [each for each in psutil.Process(gateway.run.pid).children() if "http" in each.cmdline()]


def ask(connection: socket.socket) -> bytes:
    connection.sendall(GET)
    return connection.recv(4096)


def shares(gateway: Gateway) -> dict[int, int]:
    """Connections of each worker, of 64 that come while one of them is busy."""
    port, busy = address(gateway)[1], workers(gateway)[0]
    with contextlib.ExitStack() as stack:
        busy.suspend()
        try:
            connections = [
                stack.enter_context(socket.create_connection(address(gateway), 10))
                for _ in range(CONNECTIONS)
            ]
            time.sleep(0.2)
        finally:
            busy.resume()
        for connection in connections:
            assert ask(connection).startswith(b"HTTP/1.1 200")
        return {
            worker.pid: sum(
                each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
                for each in worker.net_connections("tcp")
            )
            for worker in workers(gateway)
        }


class Visitor(threading.Thread):
    """Makes one connection after the other until it is told to stop.

    Attributes:
        died: Set when a worker has died.
        refused: What went wrong on connections that began after that.
        served: Good answers on connections that began after that.
    """

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(daemon=True)
        self.address = address(gateway)
        self.died, self.stop = threading.Event(), threading.Event()
        self.refused: list[str] = []
        self.served = 0

    def run(self) -> None:
        while not self.stop.is_set():
            after = self.died.is_set()
            problem = self.visit()
            if after and problem:
                self.refused.append(problem)
            self.served += after and not problem

    def visit(self) -> str:
        try:
            with socket.create_connection(self.address, 10) as connection:
                answer = ask(connection)
        except OSError as error:
            return str(error)
        return "" if answer.startswith(b"HTTP/1.1 200") else f"answered {answer!r}"


def ready_lines(gateway: Gateway) -> int:
    return len(re.findall(r"^http-[12] ready in", gateway.run.log(), re.MULTILINE))


def test_connections_spread_over_the_workers(pair: Gateway) -> None:
    found = shares(pair)
    assert len(found) == 2
    assert sum(found.values()) >= CONNECTIONS
    assert min(found.values()) >= SHARE, found


def test_a_worker_that_dies_is_stood_in_for_and_takes_its_share_again(pair: Gateway) -> None:
    visitors = [Visitor(pair) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    lines, victim = ready_lines(pair), workers(pair)[0]
    kill(victim.pid)
    # A zombie's threads may still hold its sockets; the supervisor waits for the last of them.
    eventually(lambda: "was ended by SIGKILL" in pair.run.log(), pair.run.log)
    for visitor in visitors:
        visitor.died.set()
    eventually(lambda: ready_lines(pair) > lines, pair.run.log, pair.run.popen)
    found = shares(pair)
    for visitor in visitors:
        visitor.stop.set()
        visitor.join()
    assert [visitor.refused for visitor in visitors] == [[], [], [], []]
    assert all(visitor.served for visitor in visitors)
    assert victim.pid not in found
    assert len(found) == 2
    assert min(found.values()) >= SHARE, f"a worker was called ready before it was: {found}"


@pytest.mark.parametrize("count", ["1", "2"])
def test_the_port_of_another_instance_is_refused(
    pair: Gateway, repository: str, count: str
) -> None:
    host, port = address(pair)
    argv = tidegate("serve", "--port", str(port), "--admin-port", "0", "--workers", count)
    with running(argv, environment(model_repository=repository, **NOBODY)) as second:
        assert second.wait() == 2
        eventually(lambda: second.errors, second.log)
    assert second.errors == [
        f"tidegate: {host}:{port} is taken by another process; stop it, or choose another port "
        "with --port (--port 0 takes a free one)"
    ]


def test_connections_wait_while_a_lone_worker_is_started_again(repository: str) -> None:
    with started_door(model_repository=repository, **NOBODY) as alone:
        (victim,) = workers(alone)
        kill(victim.pid)
        await_gone([victim])
        with socket.create_connection(address(alone), 30) as connection:
            assert ask(connection).startswith(b"HTTP/1.1 200")
