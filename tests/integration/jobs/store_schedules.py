"""Random orders of all that happens to jobs, each step checked against the plain model."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import redis.asyncio as redis

from control_plane.errors import TidegateError
from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id
from control_plane.jobs.replies import Beat, Submitted
from control_plane.jobs.shapes import End, Hold, Priority, Size, State, Submission, Task
from control_plane.jobs.store import JobStore
from tests.integration.jobs.store_model import OPEN, Model, P, Sketch, agrees

TENANTS = ("acme", "bolt", "corn")
MODELS = ("wine", "sentiment")


class Schedule:
    """One server, one store, one model, and a source of chance."""

    def __init__(self, server: redis.Redis, store: JobStore, seed: int, most: int) -> None:
        """Begin with nothing.

        Args:
            server: Empty.
            store: On it, with three attempts, and delays that no schedule outlasts.
            seed: Of the chance.
            most: Open jobs that a tenant may have.
        """
        self.server = server
        self.store = store
        self.model = Model(most_attempts=3)
        self.chance = random.Random(seed)
        self.most = most
        self.clock = 1_700_000_000.0 + seed
        self.given: list[Hold] = []

    async def run(self, steps: int) -> None:
        """Take some steps, and check all that the server holds now and then."""
        actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self.submit), (6, self.claim), (3, self.beat), (4, self.finish), (3, self.retry),
            (2, self.hand_back), (2, self.cancel), (4, self.lapse), (3, self.ripen),
            (1, self.expire), (2, self.forget), (1, self.sweep), (1, self.look),
        ]  # fmt: skip
        weights = [weight for weight, _ in actions]
        for number in range(1, steps + 1):
            _, action = self.chance.choices(actions, weights)[0]
            await action()
            if number % 8 == 0 or number == steps:
                await agrees(self.server, self.model)

    def asked(self) -> Submission:
        self.clock += 0.001
        chance = self.chance
        return Submission(
            id=job_id(self.clock), tenant=chance.choice(TENANTS), client="k:aaaaaaaaaaaa",
            model=chance.choice(MODELS), version="v1.0.0", task=Task.PREDICT,
            size=chance.choice(list(Size)), priority=chance.choice(list(Priority)),
            units=chance.choice([0, 1, 7, 100]), spec="sealed", hook=chance.choice(["", "sealed"]),
            start_at_ms=chance.choice([0, 0, 0, 32_503_680_000_000]),
            cancel_after_ms=chance.choice([0, 0, 3_600_000]),
            key=chance.choice(["", "", "k1", "k2"]), digest=chance.choice(["d1", "d2"]),
        )  # fmt: skip

    async def submit(self) -> None:
        batch = [self.asked() for _ in range(self.chance.randint(1, 3))]
        if self.chance.random() < 0.2 and self.model.jobs:
            batch.append(self.chance.choice(list(self.model.jobs.values())).asked)
        for asked, reply in zip(batch, await self.store.submit(batch), strict=True):
            told = reply.code if isinstance(reply, TidegateError) else reply
            assert told == self._submitted(asked)

    def _submitted(self, asked: Submission) -> Submitted | str:
        model, key = self.model, (asked.tenant, asked.key)
        if asked.id in model.jobs:
            return Submitted(asked.id)
        if asked.key and key in model.keys:
            first, digest = model.keys[key]
            return Submitted(first, replayed=True) if digest == asked.digest \
                else "IDEMPOTENCY_CONFLICT"  # fmt: skip
        if model.open_of(asked.tenant) >= self.most:
            return "TOO_MANY_JOBS"
        job = model.jobs[asked.id] = Sketch(asked)
        model.wait(job, delayed=asked.start_at_ms > 0)
        if asked.key:
            model.keys[key] = (asked.id, asked.digest)
        return Submitted(asked.id)

    async def claim(self) -> None:
        size, count = self.chance.choice(list(Size)), self.chance.randint(1, 4)
        claims = await self.store.claim("worker-1", size, count)
        self.model.claimed(size, count, [claim.job.id for claim in claims])
        for claim in claims:
            job = self.model.jobs[claim.job.id]
            assert (claim.fence, claim.spec) == (job.fence, "sealed")
            assert claim.job.state is State.PROCESSING
            self.given.append(Hold(claim.job.id, claim.fence))

    def hold(self) -> tuple[Hold, Sketch | None, bool]:
        """Some hold that was given once, its job if it is kept still, and whether it counts."""
        hold = self.chance.choice(self.given[-12:])
        job = self.model.jobs.get(hold.id)
        return hold, job, job is not None and job.runs and job.fence == hold.fence

    async def beat(self) -> None:
        if not self.given:
            return
        hold, job, counts = self.hold()
        progress = self.chance.randint(0, 99)
        assert await self.store.beat([Beat(hold, progress)]) == [counts]
        if counts and job is not None and progress > job.progress:
            job.progress = progress
            job.revision += 1

    async def finish(self) -> None:
        if not self.given:
            return
        hold, job, counts = self.hold()
        state = self.chance.choice([State.COMPLETED, State.FAILED])
        end = End(hold=hold, state=state, result="sealed", refund=self.chance.choice([0, 0, 3]),
                  error_code="" if state is State.COMPLETED else "MODEL_FAILED")  # fmt: skip
        was = job is not None and job.fence == hold.fence and job.state == state
        assert await self.store.finish([end]) == [counts or was]
        if not counts or job is None:
            return
        units = job.asked.units
        job.result = ("sealed", "")
        if state is State.COMPLETED:
            job.progress = 100
            self.model.end(job, state, min(end.refund, units))
        else:
            self.model.end(job, state, units, "MODEL_FAILED")

    async def retry(self) -> None:
        if not self.given:
            return
        hold, job, counts = self.hold()
        delay = self.chance.choice([0, 3_600_000])
        end = End(hold=hold, state=State.FAILED, result="", error_code="GIVEN_UP",
                  object_key="o/k")  # fmt: skip
        was = job is not None and job.fence == hold.fence and job.state == "failed"
        assert await self.store.retry(hold, end, delay) == (counts or was)
        if not counts or job is None:
            return
        if job.attempts < 3:
            job.fence += 1
            self.model.wait(job, delayed=delay > 0)
        else:
            job.result = ("", "o/k")
            self.model.end(job, "failed", job.asked.units, "GIVEN_UP")

    async def hand_back(self) -> None:
        if not self.given:
            return
        hold, job, counts = self.hold()
        assert await self.store.hand_back([hold]) == int(counts)
        if counts and job is not None:
            job.fence += 1
            job.attempts -= 1
            self.model.wait(job, delayed=False)

    async def cancel(self) -> None:
        if not self.model.jobs:
            return
        name, job = self.chance.choice(list(self.model.jobs.items()))
        tenant = self.chance.choice([job.asked.tenant, job.asked.tenant, "", "dune"])
        try:
            told = (await self.store.cancel(tenant, name)).state.value
        except TidegateError as error:
            told = error.code
        if tenant == "dune":
            assert told == "NOT_FOUND"
        elif job.state in OPEN or job.state == "canceled":
            assert told == "canceled"
            if job.state in OPEN:
                self.model.give_up(job, "canceled")
        else:
            assert told == "JOB_ENDED"

    async def lapse(self) -> None:
        """The time of some leases is over."""
        await self._due("leases", [j for j in self.model.jobs.values() if j.runs], self.model.lose)

    async def expire(self) -> None:
        """The time of some jobs is over, whatever has become of them."""
        open_ = [j for j in self.model.jobs.values()
                 if j.state in OPEN and j.asked.cancel_after_ms]  # fmt: skip
        await self._due("expiries", open_, lambda job: self.model.give_up(job, "expired"))

    async def ripen(self) -> None:
        """Some delays are over, which a claim sees as well as a sweep."""
        waiting = [j for j in self.model.jobs.values() if j.place == "delayed"]
        chosen = [job for job in waiting if self.chance.random() < 0.7]
        for job in chosen:
            await self.server.zadd(layout.DELAYED, {job.asked.id: 0}, xx=True)
            self.model.wait(job, delayed=False)
        await (self.claim() if self.chance.random() < 0.5 else self.sweep())

    async def _due(self, key: str, jobs: list[Sketch], then: Callable[[Sketch], None]) -> None:
        chosen = [job for job in jobs if self.chance.random() < 0.6]
        scores = self.chance.sample(range(1, 1000), len(chosen))
        for score, job in zip(scores, chosen, strict=True):
            await self.server.zadd(f"{P}{key}", {job.asked.id: score}, xx=True)
        await self.sweep()
        for _, job in sorted(zip(scores, chosen, strict=True), key=lambda pair: pair[0]):
            then(job)

    async def sweep(self) -> None:
        await self.store.sweep()

    async def forget(self) -> None:
        """Some were kept long enough; others were not, though somebody says so."""
        ended = [j for j in self.model.jobs.values() if j.state not in OPEN]
        for job in ended:
            if self.chance.random() < 0.3:
                await self.server.zadd(layout.KEPT, {job.asked.id: 0}, xx=True)
        due = await self.store.forgettable(100)
        for each in due:
            result = self.model.jobs[each.id].result
            assert each.object_key == (result[1] if result else "")
        not_due = [name for name in self.model.jobs if name not in {each.id for each in due}]
        gone = [each.id for each in due]
        assert await self.store.forget([*gone, *not_due[:2], *gone[:1]]) == len(gone)
        for name in gone:
            del self.model.jobs[name]

    async def look(self) -> None:
        """What is read of a job is what the model has."""
        for name, job in list(self.model.jobs.items())[:3]:
            seen = await self.store.read(job.asked.tenant, name)
            assert (seen.state, seen.attempts, seen.progress, seen.refunded) == (
                job.state, job.attempts, job.progress, job.refunded,
            )  # fmt: skip
