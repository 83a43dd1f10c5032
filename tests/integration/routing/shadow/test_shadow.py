"""Shadows on a real limits server: counted, compared, kept bounded, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio as redis
from msgspec import UNSET

from control_plane.errors import ModelFailed, Overloaded
from control_plane.routing import layout
from control_plane.routing.judge.evidence import Evidence
from control_plane.routing.shadow.comparing import Comparison
from control_plane.routing.shadow.counts import ShadowCounts
from control_plane.routing.shadow.differences import MOST, PER_WRITE, Differences
from control_plane.routing.shadow.jobs import Drop, Predicted, ShadowAnswer, ShadowJob
from control_plane.routing.shadow.reading import ShadowReader
from control_plane.routing.shadow.runner import MAX_ROUND, MAX_WAITING, ShadowRunner, rest_s
from control_plane.routing.trials import CountStore
from control_plane.sealing import Sealer
from control_plane.telemetry.ids import new_request_id
from control_plane.types import ModelRef, Version

ROLLOUT, STAGE, VERSION = "ro_one", "1.0", "v2.0.0"
KEY, OTHER_KEY = "A" * 43, "B" * 42 + "A"
SECRET = "a sentence that nobody else may read"
Run = Callable[[ShadowJob], Awaitable[ShadowAnswer]]


def job(label: str = "good", **changes: Any) -> ShadowJob:
    settings: dict[str, Any] = {
        "rollout": ROLLOUT,
        "stage": STAGE,
        "ref": ModelRef("wine", Version.parse(VERSION)),
        "group": 5,
        "request_id": new_request_id(),
        "arrived": 1_700_000_000.0,
        "inputs": {"text": SECRET, "size": 3},
        "answered": Predicted(label=label),
        "latency_s": 0.010,
    }
    return ShadowJob(**(settings | changes))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came about")


async def says_good(_: ShadowJob) -> ShadowAnswer:
    return ShadowAnswer(predicted=Predicted(label="good"), latency_s=0.020)


class Bench:
    """Shadows of one process, and a reader of what they leave."""

    def __init__(self, server: redis.Redis) -> None:
        self.server = server
        self.pressed = False
        self.counts = ShadowCounts(CountStore(server))
        self.differences = Differences(server, Sealer(KEY))
        self.reader = ShadowReader(server, Sealer(KEY))

    def runner(self, run: Run, **settings: Any) -> ShadowRunner:
        return ShadowRunner(run, self.counts, self.differences, lambda: self.pressed, **settings)

    async def settled(self, runner: ShadowRunner, jobs: int) -> Any:
        """The report once so many jobs have come to an end."""
        await until(lambda: self.counts.pending >= jobs)
        await runner.close()
        await self.write()
        return await self.reader.report(ROLLOUT, VERSION)

    async def write(self) -> None:
        for source in (self.counts, self.differences):
            if source.pending:
                await source.write()


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with redis.Redis.from_url(redis_url) as server:
        yield Bench(server)


async def test_what_both_said_is_compared_and_counted(bench: Bench) -> None:
    runner = bench.runner(says_good)
    runner.start()
    for label in ("good", "good", "bad"):
        runner.offer(job(label))
    report = await bench.settled(runner, 3)
    assert report.compared == 3
    assert report.agreement.value == pytest.approx(2 / 3)
    assert {(one.stable, one.shadow): one.count for one in report.confusion} == {
        ("good", "good"): 2,
        ("bad", "good"): 1,
    }
    assert report.latency.p50.ratio == pytest.approx(2, rel=0.1)
    assert (report.errors, report.dropped) == ({}, {})


async def test_the_judge_hears_of_both_versions_by_group(bench: Bench) -> None:
    async def run(given: ShadowJob) -> ShadowAnswer:
        if given.group == 9:
            raise ModelFailed("no")
        if given.group == 10:
            raise Overloaded("full")
        return await says_good(given)

    runner = bench.runner(run)
    runner.start()
    for label, group in (("good", 5), ("bad", 5), ("good", 7), ("good", 9), ("good", 10)):
        runner.offer(job(label, group=group, is_judged=True))
    report = await bench.settled(runner, 5)
    counts: Any = await bench.server.hgetall(layout.counts(ROLLOUT, STAGE, VERSION))
    found = Evidence.read(counts, {})
    candidate, control = found.candidate, found.control
    groups = (5, 7, 9, 10)
    assert [candidate.compared[group] for group in groups] == [2, 1, 0, 0]
    assert [candidate.agreed[group] for group in groups] == [1, 1, 0, 0]
    assert [candidate.requests[group] for group in groups] == [2, 1, 1, 0]
    assert [candidate.failed[group] for group in groups] == [0, 0, 1, 0]
    assert candidate.requests == control.requests
    assert sum(control.failed) == 0
    assert {label: sum(each) for label, each in candidate.labels.items()} == {"good": 3}
    assert {label: sum(each) for label, each in control.labels.items()} == {"good": 3, "bad": 1}
    assert report.errors == {"MODEL_FAILED": 1, "OVERLOADED": 1}
    assert report.compared == 3


async def test_of_a_version_that_answers_too_the_judge_hears_nothing_from_shadows(
    bench: Bench,
) -> None:
    runner = bench.runner(says_good)
    runner.start()
    runner.offer(job())
    assert (await bench.settled(runner, 1)).compared == 1
    assert await bench.server.exists(layout.counts(ROLLOUT, STAGE, VERSION)) == 0


async def test_processes_add_up_and_everything_expires(bench: Bench) -> None:
    other = Bench(bench.server)
    for process in (bench, other, Bench(bench.server)):
        runner = process.runner(says_good)
        runner.start()
        runner.offer(job("bad", is_judged=True))
        report = await process.settled(runner, 1)
    assert report.compared == 3
    assert len(await bench.reader.differences(ROLLOUT, VERSION)) == 3
    keys = [key async for key in bench.server.scan_iter()]
    assert len(keys) == 3
    for key in keys:
        assert 0 < await bench.server.ttl(key) <= layout.KEPT_S


async def test_offering_never_waits_and_beyond_64_is_dropped(bench: Bench) -> None:
    runner = bench.runner(says_good)
    runner.start()
    for _ in range(MAX_WAITING + 10):
        runner.offer(job())
    assert runner.waiting == MAX_WAITING
    assert runner.dropped == {Drop.FULL: 10}
    report = await bench.settled(runner, MAX_WAITING + 10)
    assert report.compared == MAX_WAITING
    assert report.dropped == {"full": 10}


async def test_under_pressure_nothing_is_taken_and_what_waits_goes(bench: Bench) -> None:
    released = asyncio.Event()

    async def run(given: ShadowJob) -> ShadowAnswer:
        await released.wait()
        return await says_good(given)

    runner = bench.runner(run)
    runner.start()
    for _ in range(10):
        runner.offer(job())
    await until(lambda: runner.waiting == 9)
    bench.pressed = True
    runner.offer(job())
    released.set()
    report = await bench.settled(runner, 11)
    assert report.dropped == {"pressed": 10}
    assert report.compared == 1


async def test_what_is_offered_under_pressure_does_not_even_wait(bench: Bench) -> None:
    runner = bench.runner(says_good)
    runner.start()
    bench.pressed = True
    runner.offer(job())
    assert runner.waiting == 0
    assert runner.dropped == {Drop.PRESSED: 1}
    await runner.close()


async def rounds_of(bench: Bench, jobs: int, seconds: float) -> list[int]:
    """How many were in flight at once in each round, if each takes so many seconds."""
    in_flight, rounds = 0, list[int]()

    async def run(given: ShadowJob) -> ShadowAnswer:
        nonlocal in_flight
        in_flight += 1
        if in_flight == 1:
            rounds.append(0)
        rounds[-1] = max(rounds[-1], in_flight)
        await asyncio.sleep(seconds)
        in_flight -= 1
        return await says_good(given)

    runner = bench.runner(run)
    runner.start()
    for _ in range(jobs):
        runner.offer(job())
    await bench.settled(runner, jobs)
    return rounds


async def test_rounds_of_quick_shadows_grow_and_are_bounded(bench: Bench) -> None:
    rounds = await rounds_of(bench, 64, 0)
    assert sum(rounds) == 64
    assert rounds[0] == 1
    assert 1 < max(rounds) <= MAX_ROUND


async def test_slow_shadows_go_one_by_one(bench: Bench) -> None:
    assert await rounds_of(bench, 4, 0.02) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("took_s", "rests_s"), [(0.0, 0.02), (0.002, 0.038), (0.02, 0.38), (10.0, 2.0)]
)
def test_shadows_rest_for_a_multiple_of_their_time(took_s: float, rests_s: float) -> None:
    assert rest_s(took_s) == pytest.approx(rests_s)


async def test_one_that_takes_too_long_or_breaks_ends_alone(bench: Bench) -> None:
    async def run(given: ShadowJob) -> ShadowAnswer:
        match given.group:
            case 1:
                await asyncio.Event().wait()
            case 2:
                raise KeyError(SECRET)
            case 3:
                return ShadowAnswer(predicted=Predicted(label="good", probabilities={"a": "b"}))  # type: ignore[dict-item]
        return await says_good(given)

    runner = bench.runner(run, timeout_s=0.05)
    runner.start()
    answered = Predicted(label="good", probabilities={"a": 1.0})
    for group in (1, 2, 3, 1, 2, 3, 4):
        runner.offer(job(group=group, answered=answered))
    report = await bench.settled(runner, 7)
    assert report.errors == {"DEADLINE_EXCEEDED": 2, "INTERNAL": 4}
    assert report.compared == 1


async def test_a_failure_s_text_is_not_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(given: ShadowJob) -> ShadowAnswer:
        raise KeyError(given.inputs["text"])

    runner = bench.runner(run)
    runner.start()
    runner.offer(job())
    await bench.settled(runner, 1)
    assert [record.message for record in caplog.records] == ["a shadow failed"]
    assert SECRET not in repr([vars(record) for record in caplog.records])


async def test_a_stop_counts_what_it_gives_up(bench: Bench) -> None:
    runner = bench.runner(lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    runner.start()
    for _ in range(5):
        runner.offer(job())
    await until(lambda: runner.waiting == 4)
    await runner.close()
    runner.offer(job())
    assert bench.counts.dropped == {Drop.STOPPED: 6}


async def test_what_says_nothing_comparable_is_dropped(bench: Bench) -> None:
    async def run(_: ShadowJob) -> ShadowAnswer:
        return ShadowAnswer()

    runner = bench.runner(run)
    runner.start()
    runner.offer(job(answered=Predicted()))
    report = await bench.settled(runner, 1)
    assert report.dropped == {"incomparable": 1}


async def test_a_difference_shows_no_input_but_those_named(bench: Bench) -> None:
    runner = bench.runner(says_good)
    runner.start()
    inputs = {"text": SECRET, "size": 3, "long": "x" * 5000}
    runner.offer(job("bad", inputs=inputs, keep_inputs=("size", "long")))
    await bench.settled(runner, 1)
    (found,) = await bench.reader.differences(ROLLOUT, VERSION)
    assert (found.stable, found.shadow, found.distance) == ("bad", "good", 1.0)
    assert (found.stable_ms, found.shadow_ms, found.at) == (10.0, 20.0, 1_700_000_000)
    shown = {one.name: (one.type, one.length, one.kept, one.value) for one in found.inputs}
    assert shown == {
        "text": ("string", len(SECRET), "no", UNSET),
        "size": ("integer", None, "yes", 3),
        "long": ("string", 5000, "too_long", UNSET),
    }


async def test_no_value_lies_on_the_server_in_clear(bench: Bench) -> None:
    runner = bench.runner(says_good)
    runner.start()
    runner.offer(job("bad", keep_inputs=("text",)))
    runner.offer(job("bad"))
    await bench.settled(runner, 2)
    key = layout.differences(ROLLOUT, VERSION)
    members: Any = await bench.server.zrange(key, 0, -1)
    stored = b"".join(members)
    assert SECRET.encode() not in stored
    assert stored.count(b'"sealed"') == 1


async def test_with_another_data_key_kept_inputs_are_unreadable(bench: Bench) -> None:
    runner = bench.runner(says_good)
    runner.start()
    runner.offer(job("bad", keep_inputs=("text",)))
    await bench.settled(runner, 1)
    other = ShadowReader(bench.server, Sealer(OTHER_KEY))
    (found,) = await other.differences(ROLLOUT, VERSION)
    assert {one.kept for one in found.inputs if one.name == "text"} == {"unreadable"}


async def test_a_kept_input_cannot_be_moved_to_another_difference(bench: Bench) -> None:
    bench.differences.note(job("bad", keep_inputs=("text",)), ShadowAnswer(), 1.0)
    await bench.write()
    key = layout.differences(ROLLOUT, VERSION)
    members: Any = await bench.server.zrange(key, 0, -1)
    moved = layout.differences("ro_two", VERSION)
    await bench.server.zadd(moved, {members[0]: 1.0})
    (found,) = await bench.reader.differences("ro_two", VERSION)
    assert [one.kept for one in found.inputs] == ["unreadable", "no"]


async def test_the_worst_200_are_kept_the_worst_first(bench: Bench) -> None:
    for start in range(0, 300, PER_WRITE):
        for place in range(start, start + PER_WRITE):
            bench.differences.note(job("bad"), ShadowAnswer(), ((place * 7) % 300) / 300)
        await bench.write()
    found = await bench.reader.differences(ROLLOUT, VERSION)
    assert [one.distance for one in found] == [
        pytest.approx(place / 300, abs=1e-6) for place in range(299, 99, -1)
    ]
    assert await bench.server.zcard(layout.differences(ROLLOUT, VERSION)) == MOST
    assert len(await bench.reader.differences(ROLLOUT, VERSION, 3)) == 3


async def test_a_process_keeps_the_worst_between_two_writes(bench: Bench) -> None:
    for place in range(1000):
        bench.differences.note(job("bad"), ShadowAnswer(), (place * 7 % 1000) / 1000)
    assert bench.differences.pending == PER_WRITE
    await bench.write()
    found = await bench.reader.differences(ROLLOUT, VERSION)
    assert [one.distance for one in found] == [place / 1000 for place in range(999, 979, -1)]


async def test_labels_beyond_50_of_a_process_go_together(bench: Bench) -> None:
    for place in range(300):
        answer = ShadowAnswer(predicted=Predicted(label=f"l{place}"), latency_s=0.01)
        found = Comparison(agreed=True, distance=0.0)
        bench.counts.compared(job(f"l{place}"), answer, found)
        if place % 50 == 0:
            await bench.write()
    await bench.write()
    key = layout.shadow(ROLLOUT, VERSION)
    names: Any = await bench.server.hkeys(key)
    pairs = [name for name in names if name.startswith(b"pair|")]
    assert len(pairs) == 51
    report = await bench.reader.report(ROLLOUT, VERSION)
    assert report.confusion[0].stable is None
    assert report.confusion[0].count == 250
