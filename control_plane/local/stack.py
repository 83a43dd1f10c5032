"""What `tidegate up` and `tidegate triton` start, and in which order.

::

    build the models → bind the public sockets → claim the data directory
      stage 1   valkey, valkey-limits
      stage 2   triton, which takes longest: the next stage does not wait for it
      stage 3   http (N processes of one address), admin, workers
    → /ready → a prediction → "ready"
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from socket import socket
from typing import Final

from msgspec import Struct

from control_plane.contracts.repository import read_repository
from control_plane.environment import PREFIX, load_settings
from control_plane.local import models
from control_plane.local.addresses import (
    LOOPBACK,
    free_ports,
    join,
    listen,
    port_of,
    public_door,
    reachable,
)
from control_plane.local.control import (
    child_environment,
    control_plane_children,
    worker_children,
)
from control_plane.local.credentials import ensure_credentials, ensure_demo, secret_settings
from control_plane.local.datadir import DataDir
from control_plane.local.errors import StartRefused
from control_plane.local.first_prediction import PATH, await_success, curl, example
from control_plane.local.output import Output
from control_plane.local.process import ChildSpec
from control_plane.local.supervisor import supervise
from control_plane.local.triton import TritonPorts, has_gpu, triton_child
from control_plane.local.valkey import valkey_child, valkey_url

REFERENCE_MODEL: Final = "sentiment"
_OURS: Final = ("TRITON_URLS", "REDIS_URL", "LIMITS_REDIS_URL")


class UpOptions(Struct, frozen=True):
    """The options of `tidegate up`; ports of 0 take free ones."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    data_dir: Path
    workers: int
    job_workers: int
    model_repository: Path


def run_up(options: UpOptions, announce: Callable[[str], None]) -> None:
    """Start everything, announce it, and keep it running until SIGINT or SIGTERM.

    Args:
        options: What to start.
        announce: Takes the lines for standard output.

    Raises:
        LocalError: If it cannot be started.
        InvalidSettings: If a ``TIDEGATE_*`` variable is wrong.
    """
    _refuse_foreign_servers(os.environ)
    with contextlib.ExitStack() as stack:
        door = public_door(options.host, options.port, "--port", options.workers)
        http = stack.enter_context(door)
        admin = stack.enter_context(listen(options.admin_host, options.admin_port, "--admin-port"))
        data = stack.enter_context(DataDir.claim(options.data_dir, _to_stderr))
        _build(options.model_repository)
        Stack(data, options, (options.host, http), (options.admin_host, admin)).run(announce)


class Stack:
    """The children of `tidegate up`, wired to each other."""

    def __init__(
        self, data: DataDir, options: UpOptions, http: tuple[str, socket], admin: tuple[str, socket]
    ) -> None:
        self._data, self._options, self._http, self._admin = data, options, http, admin
        self._triton = TritonPorts.choose()
        self._valkey, self._limits = free_ports(2)
        self._contracts = read_repository(options.model_repository).contracts
        self._credentials = ensure_credentials(data)
        self._environment = child_environment(self._values(), data.fresh_folder("metrics"))
        self._settings = load_settings(self._environment)

    def run(self, announce: Callable[[str], None]) -> None:
        """Run until a signal; see ``run_up``."""
        stages = self._stages()
        begun = time.monotonic()
        with open_output(stages) as output:

            async def when_ready() -> None:
                await self._prove(output.say, announce)
                output.say(f"everything ready in {time.monotonic() - begun:.1f} s")

            self._data.write_endpoints(self._endpoints())
            supervise(stages, when_ready, output.say, output)
            output.say("stopped")

    def _stages(self) -> list[list[ChildSpec]]:
        data = self._data
        return [
            [
                valkey_child(data, "valkey", self._valkey, "always"),
                valkey_child(data, "valkey-limits", self._limits, "everysec"),
            ],
            [triton_child(data, self._options.model_repository, self._triton)],
            [
                *control_plane_children(
                    self._settings,
                    self._environment,
                    self._http[1],
                    self._admin[1],
                    self._options.workers,
                    keep_fds=(data.processes_fd,),
                ),
                *worker_children(
                    self._settings,
                    self._environment,
                    self._options.job_workers,
                    keep_fds=(data.processes_fd,),
                ),
            ],
        ]

    def _values(self) -> dict[str, str]:
        values = {
            "triton_urls": join(LOOPBACK, self._triton.grpc),
            "redis_url": valkey_url(self._data, self._valkey),
            "limits_redis_url": valkey_url(self._data, self._limits),
            "model_repository": str(self._options.model_repository.absolute()),
            **secret_settings(self._data, self._credentials),
        }
        named = os.environ.get(f"{PREFIX}DEFAULT_MODEL")
        if not named and any(each.ref.name == REFERENCE_MODEL for each in self._contracts):
            values["default_model"] = REFERENCE_MODEL
        if not os.environ.get(f"{PREFIX}UPLOADS_STORE"):
            values["uploads_store"] = str(self._data.folder("objects"))
        return values

    def _endpoints(self) -> dict[str, str]:
        return {
            "http": _address(self._http),
            "admin": _address(self._admin),
            "triton_http": join(LOOPBACK, self._triton.http),
            "triton_grpc": join(LOOPBACK, self._triton.grpc),
            "triton_metrics": join(LOOPBACK, self._triton.metrics),
            "valkey": join(LOOPBACK, self._valkey),
            "valkey_limits": join(LOOPBACK, self._limits),
        }

    async def _prove(self, say: Callable[[str], None], announce: Callable[[str], None]) -> None:
        host, port = reachable(self._http[0]), port_of(self._http[1])
        await ensure_demo(self._settings, self._credentials.demo_key)
        await await_success((host, port), "/ready", None, say)
        url = f"http://{_address(self._http)}"
        model = self._settings.default_model
        contract = example(self._contracts, model) if model is not None else None
        if contract is None:
            announce(f"curl -s {url}/api/v1/models")
        else:
            body = json.dumps({"inputs": contract.examples[0]}, ensure_ascii=False).encode()
            await await_success((host, port), PATH, body, say, self._credentials.demo_key)
            file = None if contract.anonymous else self._data.root / "credentials.json"
            announce(curl(url, body, file))
        announce(f"ready {url}")


class TritonOptions(Struct, frozen=True):
    """The options of `tidegate triton`; ports of 0 take free ones."""

    model_repository: Path
    http_port: int
    grpc_port: int
    metrics_port: int
    data_dir: Path


def run_triton(options: TritonOptions, announce: Callable[[str], None]) -> None:
    """Run the local Triton alone until SIGINT or SIGTERM.

    Raises:
        LocalError: If it cannot be started.
    """
    wanted = (options.http_port, options.grpc_port, options.metrics_port)
    for port, option in zip(wanted, ("--http-port", "--grpc-port", "--metrics-port"), strict=True):
        listen(LOOPBACK, port, option).close()
    ports = TritonPorts.choose(*wanted)
    with DataDir.claim(options.data_dir, _to_stderr) as data:
        _build(options.model_repository)
        endpoints = {
            "triton_http": join(LOOPBACK, ports.http),
            "triton_grpc": join(LOOPBACK, ports.grpc),
            "triton_metrics": join(LOOPBACK, ports.metrics),
        }

        async def when_ready() -> None:
            for name, address in endpoints.items():
                announce(f"{name} {address}")
            announce(f"ready grpc://{endpoints['triton_grpc']}")

        stages = [[triton_child(data, options.model_repository, ports)]]
        with open_output(stages) as output:
            data.write_endpoints(endpoints)
            supervise(stages, when_ready, output.say, output)


@contextlib.contextmanager
def open_output(stages: list[list[ChildSpec]]) -> Iterator[Output]:
    """The merged log on standard error, written out before it is closed."""
    names = [spec.name for stage in stages for spec in stage]
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    output = Output(sys.stderr.fileno(), names, coloured=coloured)
    if not has_gpu():
        output.say("no GPU here: Triton serves on the CPU")
    try:
        yield output
    finally:
        output.close()


def _refuse_foreign_servers(environment: Mapping[str, str]) -> None:
    foreign = [PREFIX + name for name in _OURS if environment.get(PREFIX + name)]
    if foreign:
        raise StartRefused(
            f"{' and '.join(foreign)} would be ignored: `tidegate up` starts servers of its own; "
            "unset it, or run `tidegate serve` against yours"
        )


def _build(repository: Path) -> None:
    begun = time.monotonic()
    models.build(repository)
    _to_stderr(f"models assembled in {time.monotonic() - begun:.1f} s")


def _address(door: tuple[str, socket]) -> str:
    host, listener = door
    return join(reachable(host), port_of(listener))


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
