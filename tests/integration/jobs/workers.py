"""Workers on a queue of their own: submitting without the public door, and looking at jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import redis.asyncio as redis

from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id as new_job_id
from control_plane.jobs.shapes import Job, Priority, Size, Spec, State, Submission, Task
from control_plane.jobs.store import JobStore, Submitted
from control_plane.sealing import Sealer
from control_plane.setting_groups import JobSettings
from tests.integration.local.processes import Running, eventually
from tests.stack import SECRETS, environment, stopped_at_the_end, tidegate

PATIENCE_S: Final = 60.0
"""Far more than anything here takes."""
TENANT: Final = "acme"
CLIENT: Final = "k:abcdefghij27"


class Queue:
    """The jobs of one server, as their owner and a test see them.

    Attributes:
        url: Of the server.
        server: A client of it.
        store: Its jobs.
        triton: gRPC address of the models.
        repository: Their repository.
        folder: Where large results lie.
    """

    def __init__(
        self, url: str, server: redis.Redis, triton: str, repository: Path, folder: Path
    ) -> None:
        self.url, self.server = url, server
        self.store = JobStore(server, JobSettings())
        self.triton, self.repository, self.folder = triton, repository, folder
        self._sealer = Sealer(SECRETS["data_key"])

    def environment(self, **settings: str) -> dict[str, str]:
        """Of a worker of this queue."""
        given = {
            "redis_url": self.url,
            "triton_urls": self.triton,
            "model_repository": str(self.repository),
            "uploads_store": str(self.folder),
        }
        return environment(**{**given, **settings})

    async def submit(
        self, model: str, inputs: Any, task: Task = Task.PREDICT, units: int = 1, **more: Any
    ) -> str:
        """Keep a job; its id."""
        job_id = new_job_id(time.time())
        spec = {name: more.pop(name) for name in ("options", "major", "objects") if name in more}
        sealed = Spec(inputs=inputs, request_id="req_of_the_submission", **spec)
        is_long = task is Task.BATCH or "objects" in spec
        submission = Submission(
            id=job_id,
            tenant=TENANT,
            client=CLIENT,
            model=model,
            version=more.pop("version", "v1.0.0"),
            task=task,
            size=Size.LONG if is_long else Size.SHORT,
            priority=Priority.NORMAL,
            units=units,
            spec=self._sealer.seal(msgspec.json.encode(sealed), layout.spec_place(job_id)),
            **more,
        )
        (told,) = await self.store.submit([submission])
        assert isinstance(told, Submitted), told
        return told.id

    async def reaches(self, job_id: str, *states: State) -> Job:
        """The job once it is in one of some states."""
        return await self.becomes(job_id, lambda job: job.state in states)

    async def becomes(self, job_id: str, wanted: Any) -> Job:
        """The job once it is as it is wanted."""
        end = time.monotonic() + PATIENCE_S
        while True:
            job = await self.store.find(job_id)
            if wanted(job):
                return job
            assert time.monotonic() < end, job
            await asyncio.sleep(0.02)

    async def ended(self, job_id: str) -> Job:
        """The job once it has ended."""
        return await self.becomes(job_id, lambda job: job.state.is_end)

    async def result(self, job_id: str) -> Any:
        """What came out of a job."""
        kept = await self.store.result(job_id)
        assert kept is not None
        sealed = kept.sealed or (self.folder / kept.object_key).read_text()
        return msgspec.json.decode(self._sealer.unseal(sealed, layout.result_place(job_id)))

    async def outbox(self, job_id: str) -> list[str]:
        """The ends that were told of a job."""
        entries: Any = await self.server.xrange(layout.OUTBOX)
        return [
            fields[b"state"].decode() for _, fields in entries if fields[b"job"].decode() == job_id
        ]


@contextlib.contextmanager
def working(queue: Queue, count: int = 1, **settings: str) -> Iterator[Running]:
    """A `tidegate worker` that claims jobs."""
    argv = tidegate("worker", "--job-workers", str(count))
    with stopped_at_the_end(argv, queue.environment(**settings)) as run:
        eventually(lambda: "working on jobs with" in run.log(), run.log, run.popen)
        yield run


def processes(run: Running) -> list[psutil.Process]:
    """The processes of a `tidegate worker`."""
    return [each for each in psutil.Process(run.pid).children() if "process" in each.cmdline()]


def unique() -> str:
    """A label that nobody else has."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"
