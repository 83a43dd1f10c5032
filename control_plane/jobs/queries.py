"""What is read of jobs: one, its payloads, lists in pages, and how many lie where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.identifiers import JOB, is_job_id, since
from control_plane.jobs.replies import Depth, JobQuery, Kept
from control_plane.jobs.shapes import Job, Priority, Size, State, Task
from control_plane.jobs.steps import Steps
from control_plane.records.pages import Page, cursor, last_of

Fields = dict[str, str]
"""A job's hash as it is kept."""


def not_found() -> TidegateError:
    """There is no such job, or it is another tenant's, which is not told apart."""
    return TidegateError("There is no such job", code="NOT_FOUND")


def fields_of(flat: Iterable[Any]) -> Fields:
    """A hash from the reply of a script: name, value, and so on."""
    texts = iter([part.decode() for part in flat])
    return dict(zip(texts, texts, strict=True))


def _decoded(found: dict[bytes, bytes]) -> Fields:
    return {name.decode(): value.decode() for name, value in found.items()}


def job_of(job_id: str, fields: Fields) -> Job:
    """A job from its hash; what a hash leaves out is 0 or empty."""

    def number(name: str) -> int:
        return int(fields.get(name, 0))

    return Job(
        id=job_id,
        tenant=fields["tenant"],
        client=fields["client"],
        model=fields["model"],
        version=fields["version"],
        task=Task(fields["task"]),
        state=State(fields["state"]),
        progress=number("progress"),
        attempts=number("attempts"),
        revision=number("revision"),
        units=number("units"),
        refunded=number("refunded"),
        created_ms=number("created"),
        start_at_ms=number("start"),
        started_ms=number("started"),
        ended_ms=number("ended"),
        expires_ms=number("expires"),
        kept_until_ms=number("kept"),
        error_code=fields.get("error", ""),
    )


class Queries:
    """Reads jobs; nothing here changes one."""

    def __init__(self, steps: Steps) -> None:
        """Read from a server.

        Args:
            steps: Its scripts and reads.
        """
        self._steps = steps

    async def fields(self, job_id: str) -> Fields:
        """A job's hash.

        Raises:
            TidegateError: NOT_FOUND or JOBS_UNAVAILABLE; so do all methods that name a job.
        """
        if not is_job_id(job_id):
            raise not_found()
        server = self._steps.server
        found: dict[bytes, bytes] = await self._steps.again(
            lambda: server.hgetall(layout.job(job_id))
        )
        if not found:
            raise not_found()
        return _decoded(found)

    async def find(self, job_id: str) -> Job:
        """A job of any tenant."""
        return job_of(job_id, await self.fields(job_id))

    async def read(self, tenant: str, job_id: str) -> Job:
        """A job of a tenant."""
        job = await self.find(job_id)
        if job.tenant != tenant:
            raise not_found()
        return job

    async def spec(self, job_id: str) -> str:
        """What is to be done, sealed; of a job that has ended only if it failed."""
        found = await self._steps.again(lambda: self._steps.server.get(layout.spec(job_id)))
        if found is None:
            raise not_found()
        return str(found.decode())

    async def known(self, job_ids: Sequence[str]) -> set[str]:
        """Those of some ids that are jobs and not forgotten."""

        async def step() -> list[int]:
            async with self._steps.server.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.exists(layout.job(job_id))
                return list(await pipe.execute())

        found = await self._steps.again(step)
        return {job_id for job_id, is_there in zip(job_ids, found, strict=True) if is_there}

    async def hook(self, job_id: str) -> str | None:
        """The sealed address that is told of the job's end; None without one."""
        found = await self._steps.again(lambda: self._steps.server.get(layout.hook(job_id)))
        return None if found is None else str(found.decode())

    async def with_hooks(self, job_ids: Sequence[str]) -> list[tuple[Job, str | None] | None]:
        """Jobs, each with the sealed address that is told of its end, or None without one.

        Args:
            job_ids: Which; one that is not kept any more is None in the answer.
        """

        async def step() -> list[Any]:
            async with self._steps.server.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.hgetall(layout.job(job_id))
                    pipe.get(layout.hook(job_id))
                return list(await pipe.execute())

        found = await self._steps.again(step)
        rows = zip(job_ids, found[::2], found[1::2], strict=True)
        return [
            (job_of(job_id, _decoded(fields)), None if hook is None else str(hook.decode()))
            if fields
            else None
            for job_id, fields, hook in rows
        ]

    async def result(self, job_id: str) -> Kept | None:
        """What came out; None if nothing did, or not yet."""
        found = await self._steps.again(lambda: self._steps.server.get(layout.result(job_id)))
        return None if found is None else kept_of(found)

    async def page(self, tenant: str, query: JobQuery, after: str | None, limit: int) -> Page[Job]:
        """Jobs of a tenant, the latest submission first.

        Args:
            tenant: Whose.
            query: Which.
            after: Cursor of the page; None for the first.
            limit: Items at most.

        Raises:
            InvalidParameter: If the cursor is none of this list.
            TidegateError: JOBS_UNAVAILABLE.
        """
        states = [query.state] if query.state is not None else list(State)
        values = {
            "tenant": tenant,
            "states": states if query.state is not None or query.model is not None else [],
            "model": query.model or "",
            "low": "-" if query.after_ms is None else "[" + since(query.after_ms),
            "high": _high(query, after),
            "limit": limit,
        }
        return _page(*await self._steps.move("page", values))

    async def dead(self, after: str | None, limit: int) -> Page[Job]:
        """Dead letters, the latest submission first; see :meth:`page`."""
        values = {"tenant": "", "states": [], "model": "", "low": "-",
                  "high": _high(JobQuery(), after), "limit": limit}  # fmt: skip
        return _page(*await self._steps.move("page", values))

    async def depth(self) -> Depth:
        """How many jobs lie where."""

        async def step() -> list[Any]:
            async with self._steps.server.pipeline(transaction=True) as pipe:
                pipe.hgetall(layout.WAITING)
                for size in Size:
                    pipe.zcard(layout.suspects(size))
                for key in (layout.DELAYED, layout.LEASES, layout.KEPT, layout.DEAD):
                    pipe.zcard(key)
                pipe.xlen(layout.OUTBOX)
                pipe.xlen(layout.REFUNDS)
                return list(await pipe.execute())

        found = await self._steps.again(step)
        waiting, short, long, delayed, running, kept, dead, outbox, refunds = found
        return Depth(
            waiting={(size, priority): int(waiting.get(f"{size}:{priority:d}".encode(), 0))
                     for size in Size for priority in Priority},
            suspects={Size.SHORT: short, Size.LONG: long},
            delayed=delayed, running=running, kept=kept, dead=dead,
            outbox=outbox, refunds=refunds,
        )  # fmt: skip


def kept_of(stored: bytes) -> Kept:
    """A result as it is stored: the key in the object store, a line feed, what is sealed."""
    object_key, _, sealed = stored.decode().rpartition("\n")
    return Kept(sealed, object_key)


def _high(query: JobQuery, after: str | None) -> str:
    """The end of a range that starts after a cursor and before a time."""
    ends = [] if query.before_ms is None else [since(query.before_ms)]
    if after is not None:
        ends.append(last_of(after, JOB))
    return "(" + min(ends) if ends else "+"


def _page(rows: list[Any], has_more: int) -> Page[Job]:
    jobs = [job_of(job_id.decode(), fields_of(flat)) for job_id, flat in rows]
    return Page(jobs, cursor(jobs[-1].id) if has_more else None)
