"""The data directory: what lies where, and who may use it.

::

    lock             held by the one `tidegate up`; its content is that process's id
    processes.lock   held by every process that it started
    key-pepper       secret of the keyed hashes of API keys (0600)
    data-key         secret that encrypts stored payloads (0600)
    endpoints.json   addresses, while it runs
    credentials.json generated keys (0600)
    valkey/          the system of record, and its password and configuration (0600)
    valkey-limits/   counters and caches
    objects/         uploads and large results
    backends/        Triton's backends, put together at each start
    metrics/         counters that the processes share, emptied at each start
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from control_plane.local.errors import StartRefused

LEFTOVER_WAIT_S: Final = 40.0
"""Time that processes of a killed predecessor get to end, in seconds: their drain and a little."""


class DataDir:
    """A data directory that belongs to this process until it is closed.

    Attributes:
        root: Its absolute path.
        processes_fd: Every child has to inherit it. While one lives the directory counts as in
            use, so that two Valkeys never write one file, even after a ``kill -9`` of their parent.
    """

    def __init__(self, root: Path, lock_fd: int, processes_fd: int) -> None:
        self.root = root
        self.processes_fd = processes_fd
        self._lock_fd = lock_fd

    @classmethod
    def claim(cls, path: Path, say: Callable[[str], None]) -> DataDir:
        """Create the directory if need be and lock it.

        Args:
            path: Where; relative to the working directory.
            say: Told, in one line, when processes of a killed predecessor have to be waited for.

        Raises:
            StartRefused: If it cannot be written, or another instance holds it.
        """
        root = path.absolute()
        with contextlib.ExitStack() as held:
            try:
                root.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock_fd = _open(root / "lock", held)
                processes_fd = _open(root / "processes.lock", held)
                _lock_or_refuse(lock_fd, root)
            except OSError as error:
                raise StartRefused(
                    f"the data directory {root} cannot be written: {error.strerror}; "
                    "choose another with --data-dir"
                ) from error
            _await_leftovers(processes_fd, root, say)
            held.pop_all()
        return cls(root, lock_fd, processes_fd)

    def folder(self, name: str) -> Path:
        """A folder below the root, created if need be."""
        folder = self.root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def fresh_folder(self, name: str) -> Path:
        """An empty folder below the root."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        return self.folder(name)

    def secret(self, name: str) -> str:
        """A random password of 256 bits that stays the same from start to start (mode 0600)."""
        path = self.root / name
        if not path.exists():
            create_private(path, secrets.token_urlsafe(32))
        return path.read_text().strip()

    def write_endpoints(self, endpoints: Mapping[str, str]) -> Path:
        """Write ``endpoints.json``: readers see all of it or none."""
        path = self.root / "endpoints.json"
        replace_private(path, json.dumps(dict(endpoints), indent=2) + "\n")
        return path

    def close(self) -> None:
        """Withdraw the endpoints and let the next instance in."""
        (self.root / "endpoints.json").unlink(missing_ok=True)
        os.close(self.processes_fd)
        os.close(self._lock_fd)

    def __enter__(self) -> DataDir:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def create_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 that appears complete or not at all, and never replaces another."""
    draft = _draft(path, text)
    try:
        os.link(draft, path)
    finally:
        draft.unlink()


def replace_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, in place of what was there."""
    _draft(path, text).replace(path)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _open(path: Path, held: contextlib.ExitStack) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    held.callback(os.close, descriptor)
    return descriptor


def _lock_or_refuse(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode().strip() or "unknown"
        raise StartRefused(
            f"the data directory {root} is in use by process {holder}; "
            "stop that one, or choose another with --data-dir"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())


def _await_leftovers(descriptor: int, root: Path, say: Callable[[str], None]) -> None:
    until, told = time.monotonic() + LEFTOVER_WAIT_S, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise StartRefused(
                    f"processes of an earlier run still use {root}; stop them "
                    f"(`fuser -v {root}/processes.lock` names them), or choose another --data-dir"
                ) from error
        else:
            return
        if not told:
            say("waiting for processes of a run that was killed to end")
            told = True
        time.sleep(0.1)
