"""The local Triton: NVIDIA's server from the nvidia-pytriton wheel, with our backends.

The wheel brings the server, the Python backend and a stub of it for each Python; ``backends/`` of
the data directory is where they are put together with ours.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from control_plane.local.addresses import LOOPBACK, free_ports
from control_plane.local.datadir import DataDir
from control_plane.local.errors import StartRefused
from control_plane.local.models import CHECKOUT
from control_plane.local.probes import http_ok
from control_plane.local.process import ChildSpec

EXIT_TIMEOUT_S: Final = 10
_LIBRARY: Final = f"libpython3.{sys.version_info.minor}.so.1.0"
_SYSTEM_LIBRARIES: Final = (
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib/aarch64-linux-gnu"),
    Path("/usr/lib64"),
    Path("/usr/local/lib"),
)
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (where POSIX shared memory lives)
_LOG_LINE: Final = re.compile(r"^([IWEF])\d{4} [\d:.]+ \d+ (\S+?:\d+)\] ?(.*)$")
_LEVELS: Final = {"W": "warning", "E": "error", "F": "fatal"}
_NO_GPU: Final = re.compile(
    r"(?i)CudaDriverHelper has not been initialized|pinned memory pool|CUDA memory pool disabled|"
    r"CUDA driver version is insufficient|unable to load CUDA|DCGM|no CUDA-capable device"
)
_DETAIL: Final = re.compile(
    r"TRITONBACKEND_ModelInstance|Timeout \d+: Found|Collecting CPU metrics"
)


class TritonPorts(Struct, frozen=True):
    """Ports of a Triton on the loopback address."""

    http: int
    grpc: int
    metrics: int

    @classmethod
    def choose(cls, http: int = 0, grpc: int = 0, metrics: int = 0) -> TritonPorts:
        """Take the ports that are given, and free ones for those that are 0."""
        free = iter(free_ports(3))
        return cls(http or next(free), grpc or next(free), metrics or next(free))


def triton_child(data: DataDir, repository: Path, ports: TritonPorts) -> ChildSpec:
    """A Triton that loads every model of a repository; one that is broken leaves the rest up.

    Models are loaded explicitly, so that operators can load and unload them later. Configurations
    are taken as they are written: letting Triton complete them starts each model twice (8 small
    models: 4.1 s instead of 1.5 s).

    Args:
        data: Its backends go here; its shared memory carries a name derived from it.
        repository: The model repository.
        ports: Where it listens.

    Raises:
        StartRefused: If a part of the server is missing on this machine.
    """
    server = _wheel() / "tritonserver"
    backends = data.fresh_folder("backends")
    _assemble_backends(server, backends)
    prefix = shared_memory_prefix(data.root)
    return ChildSpec(
        name="triton",
        awaited=False,
        argv=(
            str(server / "bin" / "tritonserver"),
            f"--model-repository={repository.absolute()}",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--disable-auto-complete-config",
            "--exit-on-error=false",
            "--strict-readiness=false",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--backend-directory={backends}",
            f"--cache-directory={server / 'caches'}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--http-address={LOOPBACK}",
            f"--http-port={ports.http}",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={ports.metrics}",
            *_gpu_options(),
        ),
        env=_environment(),
        # The port opens when every model has been loaded or has failed to.
        is_ready=http_ok(LOOPBACK, ports.http, "/v2/health/live"),
        start_timeout_s=300,
        grace_s=EXIT_TIMEOUT_S + 5,
        keep_fds=(data.processes_fd,),
        line_filter=readable,
        clean=lambda: remove_shared_memory(prefix),
    )


def has_gpu() -> bool:
    """True if this machine has the device of an NVIDIA driver."""
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def readable(line: str) -> str | None:
    """Shorten a line of Triton's log; leave out its tables and what merely says there is no GPU."""
    if line.startswith(("+-", "|")):
        return None
    match = _LOG_LINE.match(line)
    if match is None:
        return line
    level, place, message = match.groups()
    if _NO_GPU.search(message) and not has_gpu():
        return None
    message = message.removeprefix('"').removesuffix('"')
    if level == "I" and _DETAIL.match(message):
        return None
    if level != "I":
        message = f"{_LEVELS[level]} ({place}): {message}"
    return message or None


def shared_memory_prefix(data_dir: Path) -> str:
    """How the shared memory regions of a data directory's Triton begin: always the same."""
    return f"tidegate_{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}_"


def remove_shared_memory(prefix: str) -> None:
    """Remove the regions that a killed Python backend left behind."""
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _wheel() -> Path:
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        raise StartRefused("Triton is missing: install the package nvidia-pytriton")
    return Path(found.origin).parent


def _assemble_backends(server: Path, folder: Path) -> None:
    stub = server / "python_backend_stubs" / f"3.{sys.version_info.minor}"
    ours = CHECKOUT / "triton" / "backends"
    for needed in (stub, ours):
        if not needed.is_dir():
            raise StartRefused(f"Triton cannot be started: {needed} is missing")
    shutil.copytree(server / "backends" / "python", folder / "python")
    shutil.copytree(stub, folder / "python", dirs_exist_ok=True)
    shutil.copytree(ours, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def _environment() -> dict[str, str]:
    # The Python backend imports packages from the python3 that comes first on PATH.
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")
    }
    libraries = [_wheel().parent / "nvidia_pytriton.libs", _interpreter_library().parent]
    inherited = environment.get("LD_LIBRARY_PATH")
    environment["LD_LIBRARY_PATH"] = ":".join(
        [*map(str, libraries), *([inherited] if inherited else [])]
    )
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    return environment


def _interpreter_library() -> Path:
    for folder in _library_folders():
        if (folder / _LIBRARY).exists():
            return folder / _LIBRARY
    package = _LIBRARY.split(".so", maxsplit=1)[0]
    raise StartRefused(
        f"{_LIBRARY}, which Triton's Python backend needs, is not on this machine; "
        f"remedy: apt-get install {package}"
    )


def _library_folders() -> Iterator[Path]:
    yield Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    yield Path(sys.base_prefix) / "lib"
    found = ctypes.util.find_library(f"python3.{sys.version_info.minor}")
    if found and Path(found).is_absolute():
        yield Path(found).parent
    yield from _SYSTEM_LIBRARIES


def _gpu_options() -> tuple[str, ...]:
    if has_gpu():
        return ()
    return ("--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0")
