"""Feedback on a real limits server: each prediction counts once, whoever labels it when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from control_plane.errors import AdmissionUnavailable, InvalidInput, TidegateError
from control_plane.routing import layout
from control_plane.routing.feedback.accuracy import Accuracies
from control_plane.routing.feedback.kept import Kept, Placed
from control_plane.routing.feedback.sampler import Sampler
from control_plane.routing.feedback.service import LABELS_A_STAGE, Feedback, Taken, Truth
from control_plane.routing.judge.evidence import Evidence
from control_plane.routing.judge.fields import SCORE_UNITS, Side
from control_plane.routing.shares import Share
from control_plane.telemetry.ids import new_request_id
from tests.integration.admission.conftest import free_port

MODEL, VERSION = "wine", "v1.0.0"
NOON = 1_699_920_000 + 43_200
KEPT_S = 600
KEPT = Kept(MODEL, VERSION, "good")
PLACED = Kept(MODEL, VERSION, "good", Placed("ro_one", "1.2", "v2.0.0", Side.CANDIDATE, 17))
RIGHT, WRONG = Truth(label="good"), Truth(label="bad")


class Bench:
    """Feedback of one process."""

    def __init__(self, server: redis.Redis, labels_per_day: int = 10_000) -> None:
        self.server = server
        self.now = NOON
        self.sampler = Sampler(server, 1000, KEPT_S)
        self.feedback = Feedback(
            server, lambda *_: ("good", "bad"), labels_per_day, lambda: self.now
        )

    async def predicted(self, kept: Kept = KEPT, tenant: str = "acme") -> str:
        """Id of a prediction that is kept."""
        request_id = new_request_id()
        assert self.sampler.offer(tenant, request_id, kept)
        await self.sampler.write()
        return request_id

    async def give(self, request_id: str, truth: Truth, tenant: str = "acme") -> Taken:
        kept = await self.feedback.find(tenant, request_id)
        return await self.feedback.give(tenant, request_id, kept, truth)

    async def accuracy(self) -> Share | None:
        return (await Accuracies(self.server).of(MODEL, ["v9.0.0", VERSION])).get(VERSION)

    async def judged(self) -> tuple[int, int]:
        """Labels of the stage and their scores, in group 17 of the candidate."""
        counts: Any = await self.server.hgetall(layout.counts("ro_one", "1.2", "v2.0.0"))
        arm = Evidence.read(counts, {}).candidate
        assert sum(arm.scored) == arm.scored[17]
        return arm.scored[17], arm.score[17]


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with redis.Redis.from_url(redis_url) as server:
        yield Bench(server)


async def test_truth_is_counted_for_the_version_and_the_stage(bench: Bench) -> None:
    for truth in (RIGHT, WRONG, Truth(score=0.5), RIGHT):
        taken = await bench.give(await bench.predicted(PLACED), truth)
        assert not taken.replaced
    found = await bench.accuracy()
    assert found is not None
    assert (found.n, found.value) == (4, 0.625)
    assert await bench.judged() == (4, int(2.5 * SCORE_UNITS))


async def test_a_prediction_outside_of_rollouts_counts_for_its_version_only(bench: Bench) -> None:
    await bench.give(await bench.predicted(), RIGHT)
    assert await bench.accuracy() is not None
    assert not [key async for key in bench.server.scan_iter("tg:{ro:*")]


async def test_feedback_given_again_takes_the_place_of_the_former(bench: Bench) -> None:
    request_id = await bench.predicted(PLACED)
    answers = [
        await bench.give(request_id, truth)
        for truth in (RIGHT, WRONG, WRONG, Truth(score=0.25), RIGHT)
    ]
    assert [answer.score for answer in answers] == [1, 0, 0, 0.25, 1]
    assert [answer.replaced for answer in answers] == [False, True, True, True, True]
    found = await bench.accuracy()
    assert found is not None
    assert (found.n, found.value) == (1, 1.0)
    assert await bench.judged() == (1, SCORE_UNITS)


async def test_many_labels_for_one_prediction_at_once_count_as_one(bench: Bench) -> None:
    request_id = await bench.predicted(PLACED)
    processes = [bench, Bench(bench.server), Bench(bench.server)]
    truths = [RIGHT, WRONG, Truth(score=0.3)] * 20
    random.Random(3).shuffle(truths)
    answers = await asyncio.gather(
        *(processes[place % 3].give(request_id, truth) for place, truth in enumerate(truths))
    )
    assert sum(not answer.replaced for answer in answers) == 1
    last = int(await bench.server.hget(layout.predicted("acme", request_id), "score") or -1)
    found = await bench.accuracy()
    assert found is not None
    assert (found.n, found.value) == (1, last / SCORE_UNITS)
    assert await bench.judged() == (1, last)


@pytest.mark.parametrize("case", ["unknown", "another tenant's", "expired"])
async def test_what_is_not_kept_for_the_tenant_is_not_found(bench: Bench, case: str) -> None:
    request_id = await bench.predicted()
    tenant = "other" if case == "another tenant's" else "acme"
    if case == "unknown":
        request_id = new_request_id()
    if case == "expired":
        await bench.server.pexpire(layout.predicted("acme", request_id), 1)
        await asyncio.sleep(0.01)
    with pytest.raises(TidegateError) as refused:
        await bench.give(request_id, RIGHT, tenant)
    assert refused.value.code == "NOT_FOUND"
    assert await bench.accuracy() is None


async def test_what_expires_between_looking_and_giving_is_not_counted(bench: Bench) -> None:
    request_id = await bench.predicted()
    kept = await bench.feedback.find("acme", request_id)
    await bench.server.delete(layout.predicted("acme", request_id))
    with pytest.raises(TidegateError) as refused:
        await bench.feedback.give("acme", request_id, kept, RIGHT)
    assert refused.value.code == "NOT_FOUND"
    assert await bench.server.dbsize() == 0


async def test_a_refused_label_leaves_no_trace(bench: Bench) -> None:
    request_id = await bench.predicted()
    with pytest.raises(InvalidInput):
        await bench.give(request_id, Truth(label="excellent"))
    assert await bench.server.dbsize() == 1


async def test_a_prediction_is_kept_for_the_time_set_and_feedback_does_not_prolong_it(
    bench: Bench,
) -> None:
    request_id = await bench.predicted(PLACED)
    key = layout.predicted("acme", request_id)
    assert KEPT_S // 2 < await bench.server.ttl(key) <= KEPT_S
    await bench.server.expire(key, KEPT_S // 2)
    await bench.give(request_id, RIGHT)
    assert 0 < await bench.server.ttl(key) <= KEPT_S // 2
    for key in [name async for name in bench.server.scan_iter()]:
        assert 0 < await bench.server.ttl(key) <= layout.KEPT_S


async def test_nothing_of_a_prediction_but_its_label_is_kept(bench: Bench) -> None:
    request_id = await bench.predicted(Kept(MODEL, VERSION, "x" * 300))
    kept = await bench.feedback.find("acme", request_id)
    assert kept == Kept(MODEL, VERSION, None)


async def test_a_tenant_has_so_many_labels_a_day(redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as server:
        bench = Bench(server, labels_per_day=3)
        ids = [await bench.predicted() for _ in range(5)]
        for request_id in ids[:3]:
            await bench.give(request_id, RIGHT)
        with pytest.raises(TidegateError) as refused:
            await bench.give(ids[3], RIGHT)
        assert refused.value.code == "RATE_LIMITED"
        assert refused.value.headers == {"retry-after": "43200"}
        assert (await bench.give(ids[0], WRONG)).replaced
        await bench.give(await bench.predicted(tenant="other"), RIGHT, "other")
        bench.now += 43_200
        await bench.give(ids[3], RIGHT)
        found = await bench.accuracy()
        assert found is not None
        assert (found.n, found.value) == (5, 0.8)


async def test_the_cap_of_a_day_holds_at_once(redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as server:
        bench = Bench(server, labels_per_day=10)
        ids = [await bench.predicted() for _ in range(40)]
        answers = await asyncio.gather(
            *(bench.give(request_id, RIGHT) for request_id in ids), return_exceptions=True
        )
        assert sum(isinstance(answer, Taken) for answer in answers) == 10
        found = await bench.accuracy()
        assert found is not None
        assert found.n == 10


async def test_200_labels_of_a_tenant_count_in_a_stage(bench: Bench) -> None:
    ids = [await bench.predicted(PLACED) for _ in range(LABELS_A_STAGE + 20)]
    for request_id in ids:
        await bench.give(request_id, RIGHT)
    assert await bench.judged() == (LABELS_A_STAGE, LABELS_A_STAGE * SCORE_UNITS)
    found = await bench.accuracy()
    assert found is not None
    assert found.n == len(ids)
    await bench.give(ids[0], WRONG)
    await bench.give(ids[-1], WRONG)
    assert await bench.judged() == (LABELS_A_STAGE, (LABELS_A_STAGE - 1) * SCORE_UNITS)
    await bench.give(await bench.predicted(PLACED, "other"), RIGHT, "other")
    assert (await bench.judged())[0] == LABELS_A_STAGE + 1


async def test_after_a_restart_of_the_process_feedback_goes_on(bench: Bench) -> None:
    request_id = await bench.predicted(PLACED)
    await bench.give(request_id, RIGHT)
    again = Bench(bench.server)
    assert (await again.give(request_id, WRONG)).replaced
    assert await again.judged() == (1, 0)


async def test_a_count_that_cannot_be_added_is_lost_and_never_there_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = await bench.predicted(PLACED)
    await bench.server.set(layout.feedback(MODEL, VERSION), "not a hash")
    assert not (await bench.give(request_id, RIGHT)).replaced
    assert bench.feedback.lost == 1
    await bench.server.delete(layout.feedback(MODEL, VERSION))
    assert (await bench.give(request_id, RIGHT)).replaced
    assert await bench.accuracy() is None
    assert await bench.judged() == (1, SCORE_UNITS)


async def test_a_server_that_is_away_is_said_to_be() -> None:
    async with redis.Redis(port=free_port()) as server:
        bench = Bench(server)
        with pytest.raises(AdmissionUnavailable):
            await bench.feedback.find("acme", new_request_id())
        with pytest.raises(AdmissionUnavailable):
            await bench.feedback.give("acme", new_request_id(), KEPT, RIGHT)
        with pytest.raises(AdmissionUnavailable):
            await bench.accuracy()
