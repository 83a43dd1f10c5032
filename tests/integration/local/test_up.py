from __future__ import annotations

import http.client
import json
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from control_plane.local.models import CHECKOUT
from control_plane.local.triton import shared_memory_prefix
from tests.integration.local.processes import Running, await_gone, eventually, kill, running
from tests.stack import environment

ENDPOINTS = {
    "http", "admin", "triton_http", "triton_grpc", "triton_metrics", "valkey", "valkey_limits",
}  # fmt: skip

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small model: what is tested here is not the models."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(CHECKOUT / "model_repository" / "wine_logistic", folder / "wine_logistic")
    return folder


Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="module")
def up(repository: Path) -> Start:
    @contextmanager
    def start(data: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Running]:
        argv = [
            *(sys.executable, "-m", "control_plane", "up", "--port", "0", "--admin-port", "0"),
            *("--data-dir", str(data), "--model-repository", str(repository), *options),
        ]
        with running(argv, {"TIDEGATE_DEFAULT_MODEL": "wine", **(env or {})}) as process:
            yield process

    return start


def endpoints(data: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data / "endpoints.json").read_text())
    return found


def get(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def predict(command: list[str]) -> bytes:
    return subprocess.run([*command, "--max-time", "5"], capture_output=True, check=False).stdout


def line_with(run: Running, text: str) -> str | None:
    return next((line for line in list(run.errors) if text in line), None)


def child(run: Running, part: str) -> psutil.Process:
    """The child whose command line has the part; not its own children."""
    below = psutil.Process(run.pid).children()
    return next(each for each in below if any(part in word for word in each.cmdline()))


def shared_memory(data: Path) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{shared_memory_prefix(data)}*"))  # noqa: S108


def test_from_nothing_to_a_prediction_and_back_to_nothing(up: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data, "--workers", "2") as run:
        url = run.await_line("ready http://").removeprefix("ready ")
        found = endpoints(data)
        assert found.keys() == ENDPOINTS
        assert url == f"http://{found['http']}"
        assert run.output[-1] == f"ready {url}"
        assert stat.S_IMODE((data / "credentials.json").stat().st_mode) == 0o600

        command = shlex.split(run.output[-2])
        answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert answer["model"] == "wine"
        assert get(found["admin"], "/metrics") == 200
        assert get(found["triton_http"], "/v2/health/ready") == 200

        password = (data / "valkey-password").read_text().strip()
        below = run.descendants()
        assert shared_memory(data)
        roles = [line[line.index("process") + 1] for line in (each.cmdline() for each in below)
                 if "process" in line]  # fmt: skip
        assert sorted(roles) == ["admin", "http", "http", "worker"]
        assert not any(password in word for each in below for word in each.cmdline())
        with socket.create_connection(
            ("127.0.0.1", int(found["valkey"].split(":")[1])), 5
        ) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100).startswith(b"-NOAUTH")

        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        await_gone(below)
    assert not (data / "endpoints.json").exists()
    assert not shared_memory(data)


def test_it_survives_the_death_of_its_parts_and_frees_the_folder_when_killed(
    up: Start, tmp_path: Path
) -> None:
    with up(tmp_path, "--workers", "2") as run:
        run.await_line("ready http://")
        found = endpoints(tmp_path)
        command = shlex.split(run.output[-2])

        for part in ("tritonserver", "valkey-server", "http"):
            victim = child(run, part)
            below = victim.children(recursive=True)
            kill(victim.pid)
            await_gone([victim, *below])
            eventually(lambda: b"prediction" in predict(command), run.log, run.popen)
        eventually(lambda: get(found["http"], "/ready") == 200, run.log, run.popen)

        with up(tmp_path) as second:
            assert second.wait() == 2
            eventually(lambda: second.errors, second.log)
            assert second.errors[-1] == (
                f"tidegate: the data directory {tmp_path} is in use by process {run.pid}; "
                "stop that one, or choose another with --data-dir"
            )

        password = (tmp_path / "valkey-password").read_text()
        below = run.descendants()
        kill(run.pid)
        run.wait()
        with up(tmp_path) as again:
            again.await_line("ready http://")
            await_gone(below)
            assert (tmp_path / "valkey-password").read_text() == password
            again.signal(signal.SIGINT)
            assert again.wait() == 0


@pytest.mark.parametrize(
    ("options", "env", "message"),
    [
        (["--port", "70000"], {}, "Invalid value for '--port': 70000 is not in the range"),
        (["--workers", "0"], {}, "Invalid value for '--workers': 0 is not in the range"),
        (["--data-dir", "/proc/no"], {}, "the data directory /proc/no cannot be written"),
        (["--model-repository", "/no"], {}, "there is no model repository at /no;"),
        (["--host", "192.0.2.1"], {}, "--host 192.0.2.1 is no address of this machine"),
        ([], {"TIDEGATE_REDIS_URL": "redis://x"}, "TIDEGATE_REDIS_URL would be ignored"),
        ([], {"TIDEGATE_MAX_WAITING": "0"}, "TIDEGATE_MAX_WAITING: Expected `int` >= 1"),
        ([], {"TIDEGATE_MAX_WAITNG": "1"}, "did you mean TIDEGATE_MAX_WAITING?"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    up: Start, tmp_path: Path, options: list[str], env: dict[str, str], message: str
) -> None:
    with up(tmp_path, *options, env=env) as run:
        assert run.wait() == 2
        eventually(lambda: message in run.log(), run.log)
        assert run.errors[-1].startswith("tidegate: ")
        assert "Traceback" not in run.log()
        assert not run.output


def test_a_taken_port_is_refused_before_anything_starts(up: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with up(tmp_path / "data", "--port", str(port)) as run:
            assert run.wait() == 2
            eventually(lambda: run.errors, run.log)
    assert run.errors == [
        f"tidegate: 127.0.0.1:{port} is taken by another process; stop it, or choose another "
        "port with --port (--port 0 takes a free one)"
    ]
    assert not (tmp_path / "data").exists()


def test_serve_runs_against_servers_that_are_there(
    up: Start, repository: Path, tmp_path: Path
) -> None:
    with up(tmp_path) as servers:
        servers.await_line("ready http://")
        found = endpoints(tmp_path)
        password = (tmp_path / "valkey-password").read_text().strip()
        settings = environment(
            triton_urls=found["triton_grpc"],
            redis_url=f"redis://:{password}@{found['valkey']}/0",
            model_repository=str(repository),
        )
        argv = [
            *(sys.executable, "-m", "control_plane", "serve", "--workers", "2"),
            *("--port", "0", "--admin-port", "0"),
        ]
        with running(argv, settings) as run:
            line = eventually(partial(line_with, run, "serving on "), run.log, run.popen)
            public, operators = (word.strip(",") for word in line.split() if "http://" in word)
            eventually(lambda: get(public[7:], "/ready") == 200, run.log, run.popen)
            assert get(operators[7:], "/metrics") == 200
            below = run.descendants()
            assert len(below) == 3
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
            await_gone(below)
        assert get(found["http"], "/ready") == 200


def test_triton_alone(repository: Path, tmp_path: Path) -> None:
    argv = [
        *(sys.executable, "-m", "control_plane", "triton", "--data-dir", str(tmp_path)),
        *("--model-repository", str(repository)),
    ]
    with running(argv) as run:
        run.await_line("ready grpc://")
        found = dict(line.split(" ") for line in run.output[:-1])
        assert run.output[-1] == f"ready grpc://{found['triton_grpc']}"
        assert endpoints(tmp_path) == found
        assert get(found["triton_http"], "/v2/models/wine_logistic/ready") == 200
        below = run.descendants()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        await_gone(below)


def test_serve_names_everything_that_is_missing() -> None:
    with running([sys.executable, "-m", "control_plane", "serve", "--port", "0"]) as run:
        assert run.wait() == 2
        eventually(lambda: len(run.errors) == 5, run.log)
    assert [line.split(" is missing")[0] for line in run.errors] == [
        "tidegate: TIDEGATE_TRITON_URLS",
        "tidegate: TIDEGATE_REDIS_URL",
        "tidegate: TIDEGATE_KEY_PEPPER",
        "tidegate: TIDEGATE_DATA_KEY",
        "tidegate: TIDEGATE_BOOTSTRAP_ADMIN_KEY",
    ]


@pytest.mark.parametrize("command", ["", "up", "serve", "triton"])
def test_help_reads_well(command: str) -> None:
    argv = [sys.executable, "-m", "control_plane", *command.split(), "--help"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert shown.startswith(f"Usage: tidegate {command}".rstrip())
    examples = [line.strip() for line in shown.splitlines()[1:]]
    assert any(line.startswith(f"tidegate {command}".rstrip()) for line in examples)
    assert max(map(len, shown.splitlines())) <= 100
