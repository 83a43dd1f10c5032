"""A plain model of the store of jobs, and what a server that agrees with it holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as redis

from control_plane.jobs import layout
from control_plane.jobs.shapes import Priority, Size, Submission

P = layout.PREFIX
TURNS = (0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1, 0)
RUNS = 2**40
OPEN = {"pending", "processing"}


@dataclass
class Sketch:
    """A job as the model has it."""

    asked: Submission
    state: str = "pending"
    place: str = "queue"
    attempts: int = 0
    lost: int = 0
    fence: int = 0
    progress: int = 0
    revision: int = 1
    refunded: int = 0
    error: str = ""
    result: tuple[str, str] | None = None

    @property
    def line(self) -> tuple[Size, Priority]:
        """Size and priority."""
        return self.asked.size, self.asked.priority

    @property
    def runs(self) -> bool:
        """True in a worker's hands."""
        return self.place == "leases"


@dataclass
class Model:
    """All jobs, and what was told of them."""

    most_attempts: int
    jobs: dict[str, Sketch] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    outbox: list[tuple[str, str, str]] = field(default_factory=list)
    refunds: list[tuple[str, int]] = field(default_factory=list)
    turn: dict[Size, int] = field(default_factory=lambda: dict.fromkeys(Size, 0))

    def running(self, size: Size, tenant: str) -> int:
        """A tenant's jobs in workers' hands."""
        return sum(
            job.runs for job in self.jobs.values()
            if job.asked.size is size and job.asked.tenant == tenant
        )  # fmt: skip

    def open_of(self, tenant: str) -> int:
        """A tenant's jobs that have not ended."""
        return sum(j.state in OPEN and j.asked.tenant == tenant for j in self.jobs.values())

    def wait(self, job: Sketch, *, delayed: bool) -> None:
        """Where a job waits."""
        job.place = "delayed" if delayed else "suspects" if job.lost >= 2 else "queue"

    def end(self, job: Sketch, state: str, refund: int, error: str = "") -> None:
        """End a job."""
        assert job.state in OPEN
        job.state, job.place, job.refunded, job.error = state, "", refund, error
        job.revision += 1
        self.outbox.append((job.asked.id, job.asked.tenant, state))
        if refund:
            self.refunds.append((job.asked.id, refund))

    def give_up(self, job: Sketch, state: str) -> None:
        """End a job whose worker has not said so."""
        job.fence += 1
        self.end(job, state, job.asked.units * (100 - job.progress) // 100)

    def lose(self, job: Sketch) -> None:
        """The lease of a job is over."""
        job.fence += 1
        job.lost += 1
        if job.attempts >= self.most_attempts:
            self.end(job, "failed", job.asked.units, "WORKER_LOST")
        else:
            self.wait(job, delayed=True)

    def queues(self, size: Size) -> dict[int, dict[str, list[str]]]:
        """Ids that wait, in their order, by priority and tenant."""
        found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for job_id, job in sorted(self.jobs.items()):
            if job.place == "queue" and job.asked.size is size:
                found[job.asked.priority][job.asked.tenant].append(job_id)
        return found

    def claimed(self, size: Size, count: int, taken: list[str]) -> None:
        """Check that these are the jobs whose turn it was, and hand them out."""
        suspects = sorted(
            job_id for job_id, job in self.jobs.items()
            if job.place == "suspects" and job.asked.size is size
        )  # fmt: skip
        busy = any(j.runs and j.lost >= 2 and j.asked.size is size for j in self.jobs.values())
        if suspects and not busy:
            assert taken.pop(0) == suspects[0]
            self._take(suspects[0])
            count -= 1
        for job_id in taken:
            queues = self.queues(size)
            place = next(self.turn[size] + step for step in range(13)
                         if queues[TURNS[(self.turn[size] + step) % 13]])  # fmt: skip
            tenants = queues[TURNS[place % 13]]
            self.turn[size] = (place + 1) % 13
            job = self.jobs[job_id]
            assert job.asked.priority == TURNS[place % 13], "the priority whose turn it is"
            assert tenants[job.asked.tenant][0] == job_id, "first come, first served"
            fewest = min(self.running(size, tenant) for tenant in tenants)
            assert self.running(size, job.asked.tenant) == fewest, "the fewest running first"
            self._take(job_id)
        left = sum(len(ids) for tenants in self.queues(size).values() for ids in tenants.values())
        assert len(taken) == count or not left, "nothing is left while slots are free"

    def _take(self, job_id: str) -> None:
        job = self.jobs[job_id]
        job.place, job.state = "leases", "processing"
        job.fence += 1
        job.attempts += 1
        job.revision += 1

    def expected(self) -> dict[str, Any]:
        """What the server's keys hold, those by time by their members."""
        sets: dict[str, set[str]] = defaultdict(set)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for job_id, job in self.jobs.items():
            asked, (size, priority) = job.asked, job.line
            sets[layout.of(asked.tenant)].add(job_id)
            sets[layout.of_kind(asked.tenant, job.state, asked.model)].add(job_id)
            counts[layout.models(asked.tenant)][asked.model] += 1
            if job.state not in OPEN:
                sets[layout.KEPT].add(job_id)
                if job.error in {"WORKER_LOST", "GIVEN_UP"}:
                    sets[layout.DEAD].add(job_id)
                continue
            counts[f"{P}pending"][asked.tenant] += 1
            if asked.cancel_after_ms:
                sets[f"{P}expiries"].add(job_id)
            if job.place == "queue":
                sets[f"{P}queue:{size}:{priority:d}:{asked.tenant}"].add(job_id)
                sets[f"{P}ring:{size}:{priority:d}"].add(asked.tenant)
                counts[layout.WAITING][f"{size}:{priority:d}"] += 1
            elif job.place == "suspects":
                sets[layout.suspects(size)].add(job_id)
            else:
                sets[f"{P}{job.place}"].add(job_id)
            if job.runs:
                counts[f"{P}running:{size}"][asked.tenant] += 1
        return {**sets, **{key: dict(count) for key, count in counts.items()}}


async def held(server: redis.Redis) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """What the server's sets and hashes hold, and its jobs apart; checks what hangs together."""
    keys = sorted(key.decode() for key in await server.keys(f"{P}*"))
    plain = [
        k for k in keys if not k.startswith((f"{P}spec:", f"{P}result:", f"{P}idem:", f"{P}hook:"))
    ]
    async with server.pipeline(transaction=False) as pipe:
        for key in plain:
            pipe.type(key)
        kinds = await pipe.execute()
        for key, kind in zip(plain, kinds, strict=True):
            if kind == b"zset":
                pipe.zrange(key, 0, -1, withscores=True)
            elif kind == b"hash":
                pipe.hgetall(key)
            else:
                pipe.exists(key)
        values = await pipe.execute()
    found: dict[str, Any] = {}
    jobs: dict[str, dict[str, str]] = {}
    for key, kind, value in zip(plain, kinds, values, strict=True):
        if kind == b"hash":
            texts = {name.decode(): text.decode() for name, text in value.items()}
            if key.startswith(f"{P}job:"):
                jobs[key.removeprefix(f"{P}job:")] = texts
            else:
                found[key] = {name: int(text) for name, text in texts.items() if text != "0"}
        elif kind == b"zset":
            found[key] = {member.decode(): score for member, score in value}
    return {key: value for key, value in found.items() if value}, jobs


async def agrees(server: redis.Redis, model: Model) -> None:
    """Check everything that a server holds against the model."""
    found, jobs = await held(server)
    expected = model.expected()
    members = {key: set(value) if isinstance(expected.get(key), set) else value
               for key, value in found.items()}  # fmt: skip
    assert members == expected
    for size in Size:
        for priority in Priority:
            for tenant, score in found.get(f"{P}ring:{size}:{priority:d}", {}).items():
                assert score // RUNS == model.running(size, tenant), "rings count who runs"
    assert jobs.keys() == model.jobs.keys()
    for job_id, fields in jobs.items():
        _same(fields, model.jobs[job_id])
    await _payloads(server, model)
    await _streams(server, model)


def _same(fields: dict[str, str], job: Sketch) -> None:
    for name in ("attempts", "lost", "fence", "progress", "revision", "refunded"):
        assert int(fields.get(name, 0)) == getattr(job, name), name
    assert fields["state"] == job.state
    assert fields.get("place", "") == job.place
    assert fields.get("error", "") == job.error
    assert ("ended" in fields) == ("kept" in fields) == (job.state not in OPEN)
    assert max(map(len, fields.values())) <= 64, "the server keeps it packed"


async def _payloads(server: redis.Redis, model: Model) -> None:
    specs = {k.decode().rpartition(":")[2] for k in await server.keys(f"{P}spec:*")}
    assert specs == {i for i, j in model.jobs.items() if j.state in {*OPEN, "failed"}}
    hooks = {k.decode().rpartition(":")[2] for k in await server.keys(f"{P}hook:*")}
    assert hooks == {i for i, j in model.jobs.items() if j.asked.hook}
    results = {k.decode().rpartition(":")[2] for k in await server.keys(f"{P}result:*")}
    assert results == {i for i, j in model.jobs.items() if j.result is not None}
    for job_id in results:
        assert await server.pttl(layout.result(job_id)) > 0
    for job_id in specs:
        is_open = model.jobs[job_id].state in OPEN
        assert (await server.pttl(layout.spec(job_id)) == -1) == is_open
    running = {s: {j.asked.id for j in model.jobs.values()
                   if j.runs and j.lost >= 2 and j.asked.size is s} for s in Size}  # fmt: skip
    for size in Size:
        suspect = await server.get(f"{P}suspect:{size}")
        assert {suspect.decode()} == running[size] if suspect else not running[size]


async def _streams(server: redis.Redis, model: Model) -> None:
    ends = [entry for _, entry in await server.xrange(layout.OUTBOX)]
    assert [tuple(e[n].decode() for n in (b"job", b"tenant", b"state")) for e in ends] \
        == model.outbox  # fmt: skip
    assert len({end[b"job"] for end in ends}) == len(ends), "one end, one entry"
    given = [entry for _, entry in await server.xrange(layout.REFUNDS)]
    assert [(e[b"job"].decode(), int(e[b"units"])) for e in given] == model.refunds
