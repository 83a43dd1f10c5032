"""From requests that were noted to blocks: counted by several processes, judged by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.abuse import AbuseRules, ErrorShare, RateJump
from control_plane.admission import layout
from control_plane.admission.abuse.blocks import Blocks, recorder
from control_plane.admission.abuse.judge import Judge, Round
from control_plane.admission.abuse.reporter import Reporter
from control_plane.admission.abuse.seen import Counts, Outcome, Seen
from control_plane.admission.abuse.sightings import Sightings
from control_plane.admission.abuse.watch import Watch
from control_plane.records import places
from control_plane.records.transaction import Actor
from tests.integration.admission.conftest import free_port

ACME = ("t:acme", "k:one")
ADDRESS = "192.0.2.1/32"
START = int(time.time()) // 3600 * 3600 + 1800
"""Half past an hour near the present: the server ends what it keeps by its own clock."""


class Bench:
    """Two processes that count, and one that judges, with a clock that a test turns."""

    def __init__(self, server: redis.Redis) -> None:
        self.server = server
        self.now = float(START)
        self.watches = [Watch(), Watch()]
        self.sightings = Sightings(server)
        self.reporters = [Reporter(watch, self.sightings, self.clock) for watch in self.watches]
        self.blocks = Blocks(server, recorder(server), 86_400, self.clock)
        self.observed: list[tuple[Round, int]] = []

    def clock(self) -> float:
        return self.now

    def judge(self, **rules: Any) -> Judge:
        return Judge(
            self.server, self.blocks, AbuseRules(**rules), lambda *seen: self.observed.append(seen),
            self.clock,
        )  # fmt: skip

    def note(self, outcome: Outcome, times: int = 1, client: tuple[str, str] = ACME) -> None:
        for number in range(times):
            self.watches[number % 2].note(*client, ADDRESS, outcome)

    async def report(self) -> None:
        for reporter in self.reporters:
            await reporter.report()

    async def counts(self, client: tuple[str, str] = ACME) -> dict[int, Counts]:
        return (await self.sightings.counts([client], int(self.now // 60)))[0]


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with redis.Redis.from_url(redis_url) as server:
        yield Bench(server)


async def test_what_several_processes_saw_adds_up_by_the_minute(bench: Bench) -> None:
    bench.note(Outcome.OK, 5)
    await bench.report()
    bench.note(Outcome.OK, 4)
    bench.note(Outcome.INVALID, 1)
    await bench.report()
    bench.now += 3600
    bench.note(Outcome.LIMITED, 2)
    await bench.report()
    assert await bench.counts() == {
        START // 60: Counts(ok=9, invalid=1), START // 60 + 60: Counts(limited=2)
    }  # fmt: skip


async def test_a_clean_stop_loses_nothing(bench: Bench) -> None:
    reporting = asyncio.ensure_future(bench.reporters[0].run())
    await asyncio.sleep(0)
    bench.watches[0].note(*ACME, ADDRESS, Outcome.OK)
    reporting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reporting
    assert await bench.counts() == {START // 60: Counts(ok=1)}


async def test_what_a_server_that_is_away_missed_is_told_later(bench: Bench) -> None:
    bench.note(Outcome.OK, 2)
    async with redis.Redis(port=free_port(), retry=Retry(NoBackoff(), 0)) as away:
        for watch in bench.watches:
            await Reporter(watch, Sightings(away), bench.clock).report()
    assert await bench.counts() == {}
    await bench.report()
    assert await bench.counts() == {START // 60: Counts(ok=2)}


async def test_no_input_and_no_key_reaches_the_server(bench: Bench) -> None:
    secret = "a payload that nobody may keep"
    for number in range(40):
        inputs = [{"text": f"{secret} {number}", "row": [4711.25, number]}]
        bench.watches[0].note(*ACME, ADDRESS, Outcome.OK, inputs, 100)
    bench.watches[0].refused(ADDRESS, "guessedkey")
    await bench.report()
    assert (await bench.counts())[START // 60].sampled == 20
    kept = [key + (await bench.server.dump(key) or b"") for key in await bench.server.keys()]
    assert kept
    assert not [one for one in kept if b"payload" in one or b"4711" in one or b"guessed" in one]


async def test_everything_that_is_counted_ends(bench: Bench) -> None:
    bench.note(Outcome.OK)
    bench.watches[0].refused(ADDRESS, "guess")
    await bench.report()
    keys = await bench.server.keys()
    assert len(keys) == 6
    for key in keys:
        assert 0 < await bench.server.ttl(key) <= 8 * 86_400, key
    of_address = layout.watch(f"a:{ADDRESS}", f"a:{ADDRESS}", START // 3600)
    assert await bench.server.ttl(of_address) <= 600


async def test_the_hours_of_the_last_eight_days_and_no_more(bench: Bench) -> None:
    for hour in range(250):
        seen = [Seen(*ACME, Counts(ok=60 * (250 - hour)))]
        await bench.sightings.write(seen, [], (START // 3600 + hour) * 60)
    last = START // 3600 + 249
    assert await bench.sightings.busiest_hour(ACME, last + 1) == 192
    assert await bench.server.hlen(layout.hours(*ACME)) == 192


async def test_soft_then_hard_and_nothing_while_it_is_hard(bench: Bench) -> None:
    judge = bench.judge()
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    first = await judge.round()
    assert [(block.level, block.rule, block.client) for block in first.blocks] == [
        ("soft", "errors", "k:one")
    ]
    assert first.blocks[0].evidence == {"requests": 200, "wrong": 200, "share": 1}
    assert (await judge.round()).blocks == ()

    bench.now += 60
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    assert (await judge.round()).blocks == (), "within the grace"

    bench.now += 120
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    assert [block.level for block in (await judge.round()).blocks] == ["hard"]
    word = await bench.server.hget(layout.state("t:acme"), "b:k:one")
    assert word == f"hard;{(START + 180 + 900) * 1_000_000}".encode()

    bench.now += 180
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    assert (await judge.round()).blocks == ()
    actions = [row[b"action"] for _, row in await bench.server.xrange(places.AUDIT)]
    assert actions == [b"block.soft", b"block.hard"]


async def test_who_mends_is_left_alone_when_the_soft_block_ends(bench: Bench) -> None:
    judge = bench.judge()
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    assert len((await judge.round()).blocks) == 1
    for _ in range(20):
        bench.now += 60
        bench.note(Outcome.OK, 20)
        await bench.report()
        assert (await judge.round()).blocks == ()
    assert bench.observed[-1][0].judged == 1


async def test_what_an_operator_lifted_does_not_come_back_by_itself(bench: Bench) -> None:
    judge = bench.judge()
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    assert len((await judge.round()).blocks) == 1
    await bench.blocks.lift(*ACME, Actor("k:operatorkey2"))
    bench.now += 60
    bench.note(Outcome.OK, 1)
    await bench.report()
    assert (await judge.round()).blocks == ()


async def test_many_refused_keys_block_their_address(bench: Bench) -> None:
    for number in range(40):
        bench.watches[number % 2].refused(ADDRESS, f"guess{number}")
    await bench.report()
    made = (await bench.judge().round()).blocks
    assert [(block.subject, block.client, block.rule) for block in made] == [
        (f"a:{ADDRESS}", f"a:{ADDRESS}", "keys")
    ]
    assert made[0].evidence == {"valid": 0, "refused": pytest.approx(40, abs=2)}


async def test_refused_keys_of_before_a_lift_do_not_count_again(bench: Bench) -> None:
    judge = bench.judge()
    for number in range(40):
        bench.watches[0].refused(ADDRESS, f"guess{number}")
    await bench.report()
    assert len((await judge.round()).blocks) == 1
    await bench.blocks.lift(f"a:{ADDRESS}", f"a:{ADDRESS}", Actor("k:operatorkey2"))
    bench.now += 300
    bench.watches[0].refused(ADDRESS, "guess0")
    await bench.report()
    assert (await judge.round()).blocks == ()


async def test_a_judge_remembers_what_it_read(bench: Bench) -> None:
    judge = bench.judge()
    bench.now += 1740  # one minute before the hour
    bench.note(Outcome.INVALID, 60)
    await bench.report()
    assert (await judge.round()).blocks == ()
    for minutes in (1, 5):
        bench.now += 60 * minutes
        bench.note(Outcome.INVALID, 10 if minutes == 1 else 60)
        await bench.report()
        made = (await judge.round()).blocks
    assert [block.evidence["wrong"] for block in made] == [130]


async def test_keys_that_were_taken_do_so_too(bench: Bench) -> None:
    for number in range(130):
        bench.note(Outcome.OK, client=("t:acme", f"k:{number}"))
    await bench.report()
    made = (await bench.judge().round()).blocks
    assert [(block.subject, block.rule) for block in made] == [(f"a:{ADDRESS}", "keys")]


async def test_a_jump_that_earlier_days_explain_is_none(bench: Bench) -> None:
    usual = ("t:acme", "k:usual")
    minute = START // 60
    for client in (ACME, usual):
        for back in range(60):
            rate = 1000 if 1 <= back <= 3 else 20
            await bench.sightings.write([Seen(*client, Counts(ok=rate))], [], minute - back)
    await bench.sightings.write([Seen(*usual, Counts(ok=60_000))], [], minute - 24 * 60)
    made = (await bench.judge(jump=RateJump(minutes=3)).round()).blocks
    assert [(block.client, block.rule) for block in made] == [("k:one", "jump")]


async def test_one_judge_at_a_time_and_the_next_when_it_stops(bench: Bench) -> None:
    first, second = bench.judge(), bench.judge()
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    running = asyncio.ensure_future(first.run())
    await first.round()
    assert await second.round() == Round()
    assert len(bench.observed) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await second.round()).judged == 1


async def test_two_that_both_think_that_they_judge_make_one_block(bench: Bench) -> None:
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    first, second = bench.judge(), bench.judge()
    second._lease = first._lease
    rounds = await asyncio.gather(first.round(), second.round())
    assert sum(len(one.blocks) for one in rounds) == 1


async def test_exempt_tenants_and_rules_that_are_off(bench: Bench) -> None:
    bench.note(Outcome.INVALID, 200)
    await bench.report()
    assert (await bench.judge(exempt=("ac*",)).round()).judged == 0
    await bench.server.delete(layout.JUDGE)
    off = bench.judge(errors=ErrorShare(on=False))
    assert (await off.round()).blocks == ()


async def test_a_round_is_bounded_and_says_what_it_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("control_plane.admission.abuse.judge.MAX_CLIENTS", 10)
    for number in range(25):
        bench.note(Outcome.OK, client=("t:acme", f"k:{number}"))
    await bench.report()
    done = await bench.judge().round()
    assert done.judged + done.skipped == 26  # the address is one of them
    assert done.judged >= 10
    assert f"{done.skipped} not judged" in caplog.text
