"""Starting, watching and ending real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

import httpx
import psutil

_T = TypeVar("_T")

PATIENCE_S = 60.0
"""Far more than anything here takes: a busy machine must not fail a test."""


class Running:
    """A process whose output is collected."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], *, read_errors: bool) -> None:
        self.popen = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.popen.pid
        self.output: list[str] = []
        self.errors: list[str] = []
        self.seen: set[psutil.Process] = set()
        self._collect(self.popen.stdout, self.output)
        if read_errors:
            self._collect(self.popen.stderr, self.errors)

    @staticmethod
    def _collect(stream: IO[bytes] | None, lines: list[str]) -> None:
        assert stream is not None

        def append() -> None:
            with contextlib.suppress(ValueError):
                for line in iter(stream.readline, b""):
                    text = line.decode(errors="replace").rstrip("\n")
                    lines.append(text)

        threading.Thread(target=append, daemon=True).start()

    def log(self) -> str:
        return "\n".join(self.errors)

    def descendants(self) -> list[psutil.Process]:
        """All processes below this one; they are remembered for ``end``."""
        found = psutil.Process(self.pid).children(recursive=True)
        self.seen.update(found)
        return found

    def await_line(self, start: str) -> str:
        """Wait for a line of standard output."""

        def line() -> str | None:
            return next((line for line in list(self.output) if line.startswith(start)), None)

        return eventually(line, lambda: f"no line {start!r}\n{self.log()}", self.popen)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        return self.popen.wait(PATIENCE_S)

    def end(self) -> None:
        """Kill what is left, by id."""
        if self.popen.poll() is None:
            self.descendants()
            self.popen.kill()
        for process in self.seen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.popen.wait(PATIENCE_S)
        for stream in (self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def running(
    argv: Sequence[str], env: dict[str, str] | None = None, *, read_errors: bool = True
) -> Iterator[Running]:
    process = Running(argv, {**os.environ, **(env or {})}, read_errors=read_errors)
    try:
        yield process
    finally:
        process.end()


def eventually(
    probe: Callable[[], _T | None],
    message: Callable[[], str],
    while_running: subprocess.Popen[bytes] | None = None,
) -> _T:
    """Repeat a probe until it returns something."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = probe()
        if found:
            return found
        ended = while_running is not None and while_running.poll() is not None
        if time.monotonic() > until or (ended and not probe()):
            raise AssertionError(message())
        time.sleep(0.02)


def gone(process: psutil.Process) -> bool:
    """True if the process has ended; a zombie has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_gone(processes: Sequence[psutil.Process]) -> None:
    eventually(
        lambda: all(map(gone, processes)),
        lambda: f"still there: {[process for process in processes if not gone(process)]}",
    )


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def role_process(role: str, settings: dict[str, str], log: Path) -> Iterator[str]:
    """The URL of a `tidegate process` of a role on a free port, once it is healthy.

    Args:
        role: ``http`` or ``admin``.
        settings: Its whole environment but for PATH and HOME.
        log: Takes what it writes.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, log.open("wb") as output:
        descriptor = listener.fileno()
        argv = [sys.executable, "-m", "control_plane", "process", role, "--fd", str(descriptor)]
        process = subprocess.Popen(
            argv, env=kept | settings, pass_fds=[descriptor], stdout=output, stderr=output
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            eventually(lambda: is_healthy(url), log.read_text, process)
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def is_healthy(url: str) -> bool:
    """Whether /healthz of an address is answered 200."""
    try:
        return httpx.get(f"{url}/healthz", timeout=1, trust_env=False).is_success
    except httpx.TransportError:
        return False
