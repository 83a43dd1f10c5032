"""Blocks on a real server: what the script of the limits reads, what is listed, what is audited."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from control_plane.admission import layout
from control_plane.admission.abuse.blocks import Blocks, recorder
from control_plane.admission.abuse.steps import Block
from control_plane.errors import AdmissionUnavailable, InvalidParameter, TidegateError
from control_plane.records import places
from control_plane.records.transaction import Actor
from tests.integration.admission.conftest import free_port

OPERATOR = Actor("k:operatorkey2", "req_1")
NOW = int(time.time())
"""The server ends what it keeps by its own clock."""


class Bench:
    """Blocks with a clock that a test turns."""

    def __init__(self, server: redis.Redis) -> None:
        self.server = server
        self.now = float(NOW)
        self.blocks = self.other_process()

    def other_process(self) -> Blocks:
        return Blocks(self.server, recorder(self.server), 86_400, lambda: self.now)

    async def word(self, subject: str, field: str) -> bytes | None:
        return await self.server.hget(layout.state(subject), field)

    async def audit(self) -> list[dict[str, Any]]:
        rows = await self.server.xrange(places.AUDIT)
        return [{key.decode(): text.decode() for key, text in row.items()} for _, row in rows]

    async def listed(self, **wanted: Any) -> list[str]:
        page = await self.blocks.page(None, 100, **wanted)
        return [block.target for block in page.items]


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with redis.Redis.from_url(redis_url) as server:
        yield Bench(server)


def block(**fields: Any) -> Block:
    given = {"subject": "t:acme", "client": "k:one", "level": "soft", "rule": "operator",
             "reason": "test", "since": NOW, "until": NOW + 600, "by": OPERATOR.who}  # fmt: skip
    return msgspec.convert(given | fields, Block)


async def test_a_block_is_what_the_script_of_the_limits_reads(bench: Bench) -> None:
    await bench.blocks.put(block(), OPERATOR)
    await bench.blocks.put(block(client="", level="hard"), OPERATOR)
    until = f"{(NOW + 600) * 1_000_000}".encode()
    assert await bench.word("t:acme", "b:k:one") == b"soft;" + until
    assert await bench.word("t:acme", "block") == b"hard;" + until
    assert await bench.blocks.get("t:acme", "") == block(client="", level="hard")
    assert await bench.other_process().get("t:acme", "k:one") == block()


async def test_a_lifted_block_is_gone_and_counts_no_more(bench: Bench) -> None:
    await bench.blocks.put(block(offences=3), OPERATOR)
    bench.now += 60
    await bench.blocks.lift("t:acme", "k:one", OPERATOR)
    assert await bench.word("t:acme", "b:k:one") is None
    assert await bench.listed() == []
    latest = await bench.blocks.latest("t:acme", "k:one")
    assert latest is not None
    assert (latest.offences, latest.since) == (0, NOW + 60)
    with pytest.raises(TidegateError) as missing:
        await bench.blocks.lift("t:acme", "k:one", OPERATOR)
    assert missing.value.code == "NOT_FOUND"


async def test_each_step_is_audited(bench: Bench) -> None:
    await bench.blocks.put(block(), OPERATOR)
    await bench.blocks.put_after(block(level="hard", rule="jump", by="rule:jump"), block())
    await bench.blocks.lift("t:acme", "k:one", OPERATOR)
    entries = await bench.audit()
    assert [(entry["action"], entry["who"], entry["request_id"]) for entry in entries] == [
        ("block.soft", "k:operatorkey2", "req_1"),
        ("block.hard", "rule:jump", ""),
        ("block.lift", "k:operatorkey2", "req_1"),
    ]
    assert {entry["target"] for entry in entries} == {"block:t:acme|k:one"}
    assert entries[0]["before"] == "null"
    assert msgspec.json.decode(entries[1]["before"])["level"] == "soft"
    assert msgspec.json.decode(entries[1]["after"])["level"] == "hard"
    assert entries[2]["after"] == "null"


async def test_no_step_without_its_audit_entry(bench: Bench) -> None:
    async with redis.Redis(port=free_port()) as away:
        blocks = Blocks(bench.server, recorder(away), 86_400, lambda: bench.now)
        with pytest.raises(AdmissionUnavailable):
            await blocks.put(block(), OPERATOR)
    assert await bench.word("t:acme", "b:k:one") is None


async def test_a_rule_does_not_undo_what_came_meanwhile(bench: Bench) -> None:
    decided_on = await bench.blocks.latest("t:acme", "k:one")
    await bench.blocks.put(block(reason="an operator was faster"), OPERATOR)
    assert not await bench.blocks.put_after(block(level="hard"), decided_on)
    assert (await bench.blocks.get("t:acme", "k:one")).level == "soft"
    assert await bench.blocks.put_after(block(level="hard"), block(reason="an operator was faster"))
    assert (await bench.blocks.get("t:acme", "k:one")).level == "hard"


async def test_the_list_goes_on_where_it_stopped(bench: Bench) -> None:
    wanted = [block(subject=f"t:tenant{n % 3}", client=f"k:{n:02}") for n in range(10)]
    for one in wanted:
        await bench.blocks.put(one, OPERATOR)
    found: list[str] = []
    cursor = None
    while True:
        page = await bench.blocks.page(cursor, 3)
        found += [one.target for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == sorted(one.target for one in wanted)
    assert await bench.listed(subject="t:tenant1") == [f"t:tenant1|k:{n:02}" for n in (1, 4, 7)]
    assert await bench.listed(subject="t:tenant") == []
    with pytest.raises(InvalidParameter):
        await bench.blocks.page("bm9uZQ", 3)


async def test_ended_blocks_are_not_listed_and_are_cleared_away(bench: Bench) -> None:
    await bench.blocks.put(block(), OPERATOR)
    await bench.blocks.put(block(client="k:two", until=NOW + 6000), OPERATOR)
    bench.now += 601
    assert await bench.listed() == ["t:acme|k:two"]
    assert await bench.word("t:acme", "b:k:one") is not None
    assert await bench.blocks.tend() == 1
    assert await bench.word("t:acme", "b:k:one") is None
    assert await bench.word("t:acme", "b:k:two") is not None
    assert await bench.server.zcard(layout.BLOCKS) == 1
    assert await bench.blocks.latest("t:acme", "k:one") is not None


async def test_a_block_outlives_the_state_in_which_it_stands(bench: Bench) -> None:
    address = block(subject="a:192.0.2.1/32", client="a:192.0.2.1/32", level="hard")
    await bench.blocks.put(address, OPERATOR)
    await bench.server.delete(layout.state(address.subject))
    assert await bench.blocks.tend() == 1
    assert await bench.word(address.subject, "b:a:192.0.2.1/32") == address.packed.encode()


async def test_what_is_kept_ends_with_its_use_but_never_a_tenants_state(bench: Bench) -> None:
    address = block(subject="a:192.0.2.1/32", client="a:192.0.2.1/32")
    for one in (block(), address):
        await bench.blocks.put(one, OPERATOR)
    kept = NOW + 600 + 86_400
    for key in (
        layout.blocks("t:acme"),
        layout.blocks(address.subject),
        layout.state(address.subject),
    ):
        assert kept - 60 <= await bench.server.expiretime(key) <= kept + 60
    assert await bench.server.ttl(layout.state("t:acme")) == -1


async def test_a_longer_block_extends_what_is_kept_a_shorter_one_does_not_cut_it(
    bench: Bench,
) -> None:
    key = layout.blocks("t:acme")
    await bench.blocks.put(block(until=NOW + 100_000), OPERATOR)
    await bench.blocks.put(block(client="k:two"), OPERATOR)
    assert await bench.server.expiretime(key) > NOW + 180_000
    await bench.blocks.put(block(until=NOW + 300_000), OPERATOR)
    assert await bench.server.expiretime(key) > NOW + 380_000
