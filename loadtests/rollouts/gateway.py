"""The gateway that is measured: `tidegate up` on free ports, its operators, and what it logs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from control_plane.environment import PREFIX
from loadtests.bench.cases import ROOT
from loadtests.bench.processes import Tree, trees_of

_T = TypeVar("_T")

PATIENCE_S: Final = 180.0
STOP_S: Final = 60.0


class Gateway:
    """A `tidegate up` that is ready.

    Attributes:
        url: Of the public API.
        key: API key of its demonstration tenant.
        operators: A client of the operators' API.
        trees: Its processes by role, see :func:`trees_of`.
        records_url: Of its system of record.
    """

    def __init__(self, pid: int, data: Path, log: Path) -> None:
        endpoints = json.loads((data / "endpoints.json").read_text())
        credentials = json.loads((data / "credentials.json").read_text())
        self.url = f"http://{endpoints['http']}"
        self.key: str = credentials["demo_key"]
        self.operators = httpx.Client(
            base_url=f"http://{endpoints['admin']}/admin/v1",
            headers={"authorization": f"Bearer {credentials['admin_key']}"},
            timeout=30,
        )
        self.trees: dict[str, Tree] = trees_of(pid)
        password = (data / "valkey-password").read_text().strip()
        self.records_url = f"redis://:{password}@{endpoints['valkey']}/0"
        self._log = log

    def operate(self, method: str, path: str, **body: Any) -> Any:
        """Call the operators' API.

        Raises:
            RuntimeError: If it refuses.
        """
        answer = self.operators.request(method, path, json=None if method == "GET" else body)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def start(self, model: str, **rollout: Any) -> str:
        """Start a rollout by the header X-User, once its candidates are ready; its id."""

        def started() -> str | None:
            body = {"sticky_by": "header:X-User", **rollout}
            answer = self.operators.post(f"/models/{model}/rollout", json=body)
            if answer.status_code == 409 and "VERSION_NOT_READY" in answer.text:
                return None
            answer.raise_for_status()
            return str(answer.json()["id"])

        return eventually(started)

    def abort(self, model: str) -> None:
        """End the rollout of a model."""
        self.operate("POST", f"/models/{model}/rollout/abort")

    def is_running(self, model: str) -> bool:
        """True while the model has a rollout."""
        return self.operators.get(f"/models/{model}/rollout").is_success

    def rolled_back_at(self, model: str, since: float) -> float | None:
        """When the judge noted that it took a candidate back.

        Args:
            model: Public name.
            since: Epoch seconds; what came before does not count.

        Returns:
            Epoch seconds, or None if it did not.
        """
        for line in self._log.read_text(errors="replace").splitlines():
            if '"rolled back"' in line and f'"model": "{model}"' in line:
                told = json.loads(line[line.index("{") :])["time"]
                at = datetime.fromisoformat(told).timestamp()
                if at > since:
                    return at
        return None


def eventually(found: Callable[[], _T | None], every_s: float = 0.1) -> _T:
    """What a function gives once it gives something.

    Raises:
        RuntimeError: If it does not within three minutes.
    """
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        got = found()
        if got:
            return got
        time.sleep(every_s)
    raise RuntimeError(f"it did not come within {PATIENCE_S:g} s")


@contextlib.contextmanager
def started(
    folder: Path, repository: Path, workers: int, *options: str, **settings: str
) -> Iterator[Gateway]:
    """Start a gateway below a folder and stop it at the end.

    Args:
        folder: Takes its data and its log.
        repository: Its models.
        workers: HTTP processes.
        options: Further ones of `tidegate up`.
        settings: Of the control plane: ``jobs_lease_s``.

    Raises:
        RuntimeError: If it does not come up.
    """
    folder.mkdir(parents=True)
    data, log = folder / "data", folder / "log"
    command = [
        *(sys.executable, "-m", "control_plane", "up", "--port", "0", "--admin-port", "0"),
        *("--data-dir", str(data), "--workers", str(workers)),
        *("--model-repository", str(repository), *options),
    ]
    named = {PREFIX + name.upper(): value for name, value in settings.items()}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **named},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        _await_ready(process, log)
        gateway = Gateway(process.pid, data, log)
        with gateway.operators:
            yield gateway
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[str], log: Path) -> None:
    for line in process.stdout or ():
        if line.startswith("ready http://"):
            return
    raise RuntimeError("the gateway did not come up:\n" + log.read_text()[-3000:])
