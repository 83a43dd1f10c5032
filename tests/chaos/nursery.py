"""A process that has imported the libraries of the control plane, and forks `tidegate` commands.

A worker that is killed every second would spend the machine on imports; here its successor begins
with the libraries in memory and imports only the control plane itself, as nothing that is drawn
or opened there may be shared. Reads a line of JSON for each, ``{"argv": […], "env": {…}, "log":
"…"}``, and answers with the process id. Only the end of its input ends it, and all that it forked.
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
    *("litestar", "litestar.openapi.config", "uvicorn", "uvloop", "httptools", "msgspec", "numpy"),
    *("redis.asyncio", "tritonclient.grpc", "grpc.aio", "cryptography.hazmat.primitives", "click"),
    *("ruamel.yaml", "jsonschema_rs", "joserfc.jwt", "httpx", "soundfile", "soxr"),
)
_ASKED_TO_STOP: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until the input ends."""
    for number in _ASKED_TO_STOP:
        signal.signal(number, signal.SIG_IGN)
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
    for number in (signal.SIGCHLD, *_ASKED_TO_STOP):
        signal.signal(number, signal.SIG_DFL)
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
