"""A process that has imported what the control plane imports, and forks `tidegate` commands.

A worker that is killed every second would spend the machine on imports; here its successor begins
with the libraries in memory and imports only the control plane itself. Reads a line of JSON for
each, ``{"argv": […], "env": {…}, "log": "…"}``, and answers with the process id. The end of its
input ends it and all that it forked.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import psutil

LIBRARIES: Final = (
    *("litestar", "uvicorn", "uvloop", "httptools", "msgspec", "numpy", "redis.asyncio"),
    *("tritonclient.grpc", "grpc.aio", "prometheus_client", "cryptography.hazmat.primitives"),
    *("ruamel.yaml", "jsonschema_rs", "joserfc.jwt", "click", "httpx", "obstore", "soundfile"),
    *("soxr", "concurrent.futures.thread", "litestar.openapi.config"),
)


def main() -> None:
    """Serve until the input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for child in psutil.Process().children():
        child.kill()


def become(order: dict[str, Any]) -> None:
    """Turn this fork into the command; does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(order["env"])
    sys.argv = ["tidegate", *order["argv"]]
    try:
        importlib.import_module("control_plane.__main__").main()
    finally:
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
