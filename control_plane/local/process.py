"""One run of a child process, in a group of its own that never outlives this process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from control_plane.local import notice
from control_plane.local.notice import Notice
from control_plane.local.output import Channel, LineFilter

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_READ_BYTES: Final = 1 << 16
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

Probe = Callable[[], Awaitable[bool]]
"""Asked again and again: is the child ready? Must answer within a second or two."""


def _nothing() -> None:
    pass


class ChildSpec(Struct, frozen=True, kw_only=True):
    """How a child is started, recognised as ready, and stopped.

    Attributes:
        name: Unique; the prefix of its output.
        argv: The command. Nothing secret: everybody on the machine can read it.
        env: The child's whole environment.
        is_ready: Its readiness; None for a child that writes a line to the descriptor ``READY_FD``
            of its environment once it is.
        start_timeout_s: Seconds it gets to become ready.
        stop_signal: Sent to the child alone, not to its own children, when it has to stop.
        grace_s: Seconds between that and the SIGKILL of its whole group.
        keep_fds: Descriptors that it inherits under the same numbers.
        line_filter: Rewrites its output.
        clean: Removes what an earlier run left behind; called before each start and after each end.
        awaited: False if the next stage may start before this child is ready.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    is_ready: Probe | None = None
    start_timeout_s: float = 30.0
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    keep_fds: tuple[int, ...] = ()
    line_filter: LineFilter | None = None
    clean: Callable[[], None] = _nothing
    awaited: bool = True


class Process:
    """A running child.

    Attributes:
        pid: Its process id, which is its group's id as well.
        ended: Done when the child has ended and its group is gone; the result is its exit status,
            negative for a signal.
    """

    def __init__(self, spec: ChildSpec, channel: Channel | None) -> None:
        """Start the child.

        Args:
            spec: What to start.
            channel: Takes its output; None leaves the child our own standard output and error.

        Raises:
            OSError: If the command cannot be executed.
        """
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._grace_s, self._stop_signal = spec.grace_s, spec.stop_signal
        self._clean = spec.clean
        self._probe = spec.is_ready
        spec.clean()
        self._notice = Notice()
        try:
            self._popen = self._open(spec)
        except OSError:
            self._notice.close()
            raise
        finally:
            self._notice.hand_over()
        self.pid = self._popen.pid
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._on_end)
        self._pipe = -1
        if self._popen.stdout is not None:
            self._pipe = self._popen.stdout.fileno()
            os.set_blocking(self._pipe, False)
            self._loop.add_reader(self._pipe, self._on_output)

    async def is_ready(self) -> bool:
        """True when the probe says so, or the child has said so."""
        return self._notice.given() if self._probe is None else await self._probe()

    async def stop(self, grace_s: float | None = None) -> None:
        """Ask the child to stop, and kill its group when it does not within the grace, seconds."""
        if not self.ended.done():
            self._popen.send_signal(self._stop_signal)
            await asyncio.wait([self.ended], timeout=self._grace_s if grace_s is None else grace_s)
        self.kill()
        await self.ended

    def kill(self) -> None:
        """Kill the child and all that it started."""
        if not self.ended.done():
            _kill_group(self.pid)

    def _open(self, spec: ChildSpec) -> subprocess.Popen[bytes]:
        told = self._notice.descriptor
        return subprocess.Popen(
            spec.argv,
            env={**spec.env, notice.VARIABLE: str(told)} if spec.is_ready is None else spec.env,
            stdin=subprocess.DEVNULL,
            stdout=None if self._channel is None else subprocess.PIPE,
            stderr=None if self._channel is None else subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(*spec.keep_fds, told) if spec.is_ready is None else spec.keep_fds,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 (prctl takes no lock)
        )

    def _on_output(self) -> None:
        try:
            chunk = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return
        if chunk and self._channel is not None:
            self._channel.feed(chunk)
        elif not chunk:
            self._loop.remove_reader(self._pipe)

    def _on_end(self) -> None:
        # The group is killed before the child is reaped: until then nobody can reuse its id.
        _kill_group(self.pid)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._notice.close()
        status = self._popen.wait()
        if self._channel is not None and self._popen.stdout is not None:
            self._drain(self._channel)
            self._loop.remove_reader(self._pipe)
            self._popen.stdout.close()
        try:
            self._clean()
        finally:
            self.ended.set_result(status)

    def _drain(self, channel: Channel) -> None:
        # Bounded by what a pipe holds: the writers are dead.
        try:
            while chunk := os.read(self._pipe, _READ_BYTES):
                channel.feed(chunk)
        except BlockingIOError:
            pass
        channel.end()


def die_with_parent() -> Callable[[], None]:
    """A ``preexec_fn``: the child gets SIGTERM when this process dies, however it dies."""
    parent = os.getpid()

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent dies, as process 1 is anyway."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(known: set[int]) -> None:
    """Collect ended processes that nobody else waits for.

    Args:
        known: Ids of children that somebody does wait for. If one of those has ended, the orphans
            behind it are collected by the next call, which its own end has to bring about.
    """
    try:
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in known:
                return
            os.waitpid(found.si_pid, 0)
    except ChildProcessError:
        return


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
