from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.integration.local.processes import Running, await_gone, eventually, kill, running

SUPERVISED = Path(__file__).with_name("supervised.py")
READY = "import os,pathlib,time; pathlib.Path(os.environ['READY']).write_text(str(os.getpid()));"
STEADY = READY + "time.sleep(600)"
TELLS = "os.write(int(os.environ['READY_FD']), b'ready\\n');"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + STEADY
WITH_GRANDCHILD = "import subprocess; subprocess.Popen(['sleep', '600']);" + STEADY


Supervised = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def supervised(tmp_path: Path) -> Supervised:
    @contextmanager
    def start(
        *stages: dict[str, str], grace_s: float = 30, read_errors: bool = True
    ) -> Iterator[Running]:
        described = [
            [
                {"name": name, "code": code, "ready": str(tmp_path / name), "grace_s": grace_s}
                for name, code in stage.items()
            ]
            for stage in stages
        ]
        argv = [sys.executable, str(SUPERVISED), json.dumps(described)]
        with running(argv, read_errors=read_errors) as supervisor:
            yield supervisor

    return start


def has_line(run: Running, text: str) -> bool:
    return text in run.log()


def pid_of(tmp_path: Path, name: str) -> int:
    path = tmp_path / name

    def pid() -> int | None:
        return int(path.read_text() or 0) if path.exists() else None

    return eventually(pid, lambda: f"{name} is not ready")


def test_a_stage_starts_when_the_one_before_is_ready(
    supervised: Supervised, tmp_path: Path
) -> None:
    look = "import os,pathlib; assert pathlib.Path(os.environ['READY']).with_name('a').exists();"
    with supervised({"a": "import time; time.sleep(.3);" + STEADY}, {"b": look + STEADY}) as run:
        run.await_line("ready")
        assert "b exited" not in run.log()


def test_a_killed_child_comes_back_and_leaves_the_others_alone(
    supervised: Supervised, tmp_path: Path
) -> None:
    with supervised({"a": STEADY, "b": STEADY}) as run:
        run.await_line("ready")
        a, b = pid_of(tmp_path, "a"), pid_of(tmp_path, "b")
        kill(a)
        eventually(lambda: pid_of(tmp_path, "a") != a, run.log)
        assert pid_of(tmp_path, "b") == b
        assert "a was ended by SIGKILL; starting it again in 0.25 s" in run.log()


def test_a_child_that_says_itself_when_it_is_ready_is_awaited_at_each_start(
    supervised: Supervised, tmp_path: Path
) -> None:
    code = READY + "time.sleep(.5);" + TELLS + "time.sleep(600)"
    with supervised({"a": code}, {"b": STEADY}) as run:
        a = pid_of(tmp_path, "a")
        run.await_line("ready")
        kill(a)
        eventually(lambda: run.log().count("a ready in") == 2, run.log)
        times = [float(line.split()[-2]) for line in run.errors if "a ready in" in line]
        assert min(times) >= 0.5


def test_a_child_that_keeps_dying_is_restarted_ever_more_slowly(supervised: Supervised) -> None:
    with supervised({"a": READY + "time.sleep(.3)"}) as run:
        for wait in ("0.25", "0.5", "1 s", "2 s"):
            line = f"a exited with status 0; starting it again in {wait}"
            eventually(partial(has_line, run, line), run.log, run.popen)
        assert run.output.count("ready") == 1


def test_a_child_that_never_starts_ends_all_with_one_line(supervised: Supervised) -> None:
    with supervised({"good": STEADY}, {"bad": "raise SystemExit('no such disk')"}) as run:
        eventually(run.descendants, run.log)
        assert run.wait() == 1
        await_gone(list(run.seen))
        eventually(lambda: "failed" in run.log(), run.log)
        failed = "failed: bad did not start in 3 attempts: exited with status 1 (no such disk)"
        assert [line for line in run.errors if "failed" in line] == [f"tidegate | {failed}"]
        assert not run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_requested_stop_leaves_nothing(supervised: Supervised, number: signal.Signals) -> None:
    with supervised({"a": WITH_GRANDCHILD}, {"b": STEADY}) as run:
        run.await_line("ready")
        below = run.descendants()
        assert len(below) == 3
        run.signal(number)
        assert run.wait() == 0
        await_gone(below)


def test_children_stop_in_reverse_order(supervised: Supervised, tmp_path: Path) -> None:
    note = (
        "import os,signal,sys,pathlib\n"
        "def end(*_):\n"
        "    with open(pathlib.Path(os.environ['READY']).with_name('order'), 'a') as file:\n"
        "        file.write(pathlib.Path(os.environ['READY']).name)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    with supervised({"a": note + STEADY}, {"b": note + STEADY}, {"c": note + STEADY}) as run:
        run.await_line("ready")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert (tmp_path / "order").read_text() == "cba"


def test_a_child_that_will_not_stop_is_killed_after_its_grace(supervised: Supervised) -> None:
    with supervised({"a": STUBBORN}, grace_s=0.3) as run:
        run.await_line("ready")
        below = run.descendants()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        await_gone(below)


def test_a_second_signal_stops_at_once(supervised: Supervised) -> None:
    with supervised({"a": STUBBORN}, {"b": STUBBORN}, grace_s=600) as run:
        run.await_line("ready")
        below = run.descendants()
        run.signal(signal.SIGINT)
        eventually(lambda: "SIGINT received" in run.log(), run.log)
        run.signal(signal.SIGINT)
        assert run.wait() == 0
        await_gone(below)


def test_a_stop_while_starting_leaves_nothing(supervised: Supervised) -> None:
    with supervised({"a": "import time; time.sleep(600)"}) as run:
        below = eventually(run.descendants, run.log)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        await_gone(below)
        assert not run.output


def test_children_end_when_the_supervisor_is_killed(supervised: Supervised) -> None:
    with supervised({"a": STEADY}, {"b": STEADY}) as run:
        run.await_line("ready")
        below = run.descendants()
        kill(run.pid)
        run.wait()
        await_gone(below)


def test_orphans_of_a_child_are_adopted_and_reaped(supervised: Supervised, tmp_path: Path) -> None:
    daemon = (
        "import os,sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    with supervised({"a": daemon + STEADY}) as run:
        run.await_line("ready")
        a = pid_of(tmp_path, "a")
        eventually(lambda: [each.pid for each in run.descendants()] == [a], run.log)


def test_a_flood_nobody_reads_blocks_no_child_and_fills_no_memory(
    supervised: Supervised, tmp_path: Path
) -> None:
    flood = (
        "import os,pathlib\n"
        "for _ in range(600): os.write(1, b'x' * 99_999 + b'\\n' * 50 + b'y' * 49_950)\n"
        "pathlib.Path(os.environ['READY']).with_name('flooded').touch()\n"
    )
    with supervised({"a": flood + STEADY}, read_errors=False) as run:
        run.await_line("ready")
        assert (tmp_path / "flooded").exists()
        assert psutil.Process(run.pid).memory_info().rss < 150 << 20
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_children_read_no_input_and_hold_no_descriptor_of_ours(
    supervised: Supervised, tmp_path: Path
) -> None:
    with supervised({"a": "import sys; assert sys.stdin.read() == '';" + STEADY}) as run:
        run.await_line("ready")
        fds = os.listdir(f"/proc/{pid_of(tmp_path, 'a')}/fd")  # noqa: PTH208 (names, not paths)
        assert sorted(fds) == ["0", "1", "2"]
