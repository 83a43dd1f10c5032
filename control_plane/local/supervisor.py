"""Starts children in order, restarts those that die, stops all of them in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct

from control_plane.local.errors import StartFailed
from control_plane.local.output import Output
from control_plane.local.process import ChildSpec, Process, adopt_orphans, reap_orphans

PROBE_INTERVAL_S: Final = 0.05


class RestartPolicy(Struct, frozen=True):
    """When a child that died is started again; all in seconds.

    Attributes:
        first_s: Wait before the first restart; doubled with each one that follows.
        cap_s: The longest wait.
        steady_s: A child that was ready for so long starts over with the first wait.
        first_attempts: Starts that a child gets before its first readiness.
    """

    first_s: float = 0.25
    cap_s: float = 10.0
    steady_s: float = 30.0
    first_attempts: int = 3

    def wait_s(self, deaths: int) -> float:
        """Seconds to wait after so many deaths in a row (at least 1)."""
        return min(self.cap_s, self.first_s * 2.0 ** min(deaths - 1, 30))


class Supervisor:
    """Keeps stages of children alive.

    The children of a stage start together; the next stage starts when all of them are ready that
    it has to await.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[ChildSpec]],
        say: Callable[[str], None],
        output: Output | None = None,
        policy: RestartPolicy | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            stages: What to start.
            say: Takes one line about each event.
            output: Takes the children's output; None leaves them ours.
            policy: When to restart.
        """
        self._say = say
        keepers = [
            [_Keeper(spec, say, output, policy or RestartPolicy()) for spec in stage]
            for stage in stages
        ]
        self._stages: list[list[_Keeper]] = keepers
        self._stop = asyncio.Event()
        self._at_once = False

    async def run(self, when_ready: Callable[[], Awaitable[None]]) -> None:
        """Start everything, call ``when_ready``, and keep everything alive until the stop.

        Raises:
            StartFailed: If a child never became ready. All others are stopped by then.
        """
        work = asyncio.create_task(self._start(when_ready))
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            await stop
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
            await self._stop_all()

    def stop(self) -> None:
        """Ask for the stop; the second time all children are killed at once."""
        if self._stop.is_set():
            self._at_once = True
            self._say("stopping at once")
            for keeper in self._keepers():
                keeper.kill()
        self._stop.set()

    def pids(self) -> set[int]:
        """Ids of the children that run."""
        return {keeper.pid for keeper in self._keepers() if keeper.pid}

    async def _start(self, when_ready: Callable[[], Awaitable[None]]) -> None:
        for stage in self._stages:
            for keeper in stage:
                keeper.start()
            await asyncio.gather(*(keeper.first_ready for keeper in stage if keeper.awaited))
        await asyncio.gather(*(keeper.first_ready for keeper in self._keepers()))
        await when_ready()

    async def _stop_all(self) -> None:
        for stage in reversed(self._stages):
            grace = 0.0 if self._at_once else None
            await asyncio.gather(*(keeper.stop(grace) for keeper in stage))

    def _keepers(self) -> list[_Keeper]:
        return [keeper for stage in self._stages for keeper in stage]


class _Keeper:
    """Keeps one child alive."""

    def __init__(
        self,
        spec: ChildSpec,
        say: Callable[[str], None],
        output: Output | None,
        policy: RestartPolicy,
    ) -> None:
        self._spec, self._say, self._output, self._policy = spec, say, output, policy
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Id of the running child, or 0."""
        return self._process.pid if self._process is not None else 0

    @property
    def awaited(self) -> bool:
        """True if the next stage starts only when this child is ready."""
        return self._spec.awaited

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def stop(self, grace_s: float | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            await self._process.stop(grace_s)
            self._process = None
        self.first_ready.cancel()

    async def _keep(self) -> None:
        deaths = 0
        while True:
            ready_s, reason = await self._run_once()
            deaths = 1 if ready_s >= self._policy.steady_s else deaths + 1
            name = self._spec.name
            if not self.first_ready.done() and deaths >= self._policy.first_attempts:
                line = f"{name} did not start in {deaths} attempts: {reason}"
                self.first_ready.set_exception(StartFailed(line))
                return
            wait_s = self._policy.wait_s(deaths)
            self._say(f"{name} {reason}; starting it again in {wait_s:g} s")
            await asyncio.sleep(wait_s)

    async def _run_once(self) -> tuple[float, str]:
        """Run the child to its end; for how many seconds it was ready, and why it ended."""
        spec, begun = self._spec, time.monotonic()
        channel = self._output.channel(spec.name, spec.line_filter) if self._output else None
        try:
            self._process = process = Process(spec, channel)
        except OSError as error:
            return 0.0, f"cannot be executed: {error.strerror}: {spec.argv[0]}"
        if not await self._await_ready(process):
            if process.ended.done():
                hint = f" ({channel.last_line})" if channel and channel.last_line else ""
                self._process = None
                return 0.0, _reason(process.ended.result()) + hint
            await process.stop()
            self._process = None
            return 0.0, f"was not ready within {spec.start_timeout_s:g} s"
        ready = time.monotonic()
        self._say(f"{spec.name} ready in {ready - begun:.1f} s")
        if not self.first_ready.done():
            self.first_ready.set_result(None)
        status = await asyncio.shield(process.ended)
        self._process = None
        return time.monotonic() - ready, _reason(status)

    async def _await_ready(self, process: Process) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._spec.start_timeout_s):
                while not process.ended.done():
                    if await process.is_ready():
                        return True
                    await asyncio.wait([process.ended], timeout=PROBE_INTERVAL_S)
        return False


def _reason(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    return f"was ended by {signal.Signals(-status).name}"


def supervise(
    stages: Sequence[Sequence[ChildSpec]],
    when_ready: Callable[[], Awaitable[None]],
    say: Callable[[str], None],
    output: Output | None = None,
) -> None:
    """Run children until SIGINT, SIGTERM or SIGHUP; what the commands of the CLI do.

    Works as process 1 of a container, too: orphans are adopted and reaped.

    Raises:
        StartFailed: If a child never became ready.
    """

    async def main() -> None:
        supervisor = Supervisor(stages, say, output)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, _on_signal, supervisor, number, say)
        loop.add_signal_handler(signal.SIGCHLD, lambda: reap_orphans(supervisor.pids()))
        await supervisor.run(when_ready)

    adopt_orphans()
    asyncio.run(main())


def _on_signal(supervisor: Supervisor, number: signal.Signals, say: Callable[[str], None]) -> None:
    say(f"{number.name} received: stopping")
    supervisor.stop()
