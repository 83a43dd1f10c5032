"""Reads of a large day: in bounded slices, no more hours than needed, two at a time."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as aredis

from control_plane.admission import layout
from control_plane.admission.usage.period import DAY_S, Group, Period
from control_plane.admission.usage.reading import Usage
from control_plane.admission.usage.scan import scan, windows
from control_plane.admission.usage.tallies import SLICE, Row, Spot, Tally, in_order
from control_plane.admission.usage.turns import AT_ONCE, Turns
from control_plane.errors import InvalidParameter, Overloaded
from control_plane.records.pages import Page

DAY = 1_709_078_400  # 2024-02-28
KEY = layout.usage("t:acme", "20240228")
WHOLE = Period(DAY, DAY + DAY_S)
CLIENTS = 200
FIELDS = 24 * CLIENTS


class Watched(aredis.Redis):
    """Remembers what HSCAN was asked for and how much came."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.patterns: list[str | None] = []
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = self.peak = 0
        self.full = asyncio.Event()
        self.is_told_twice = False
        self._first: Any = {}

    async def hscan(self, name: Any, cursor: int = 0, **options: Any) -> Any:
        self.patterns.append(options["match"])
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        if self.inside == AT_ONCE:
            self.full.set()
        await self.gate.wait()
        part: Any
        follows, part = await super().hscan(name, cursor, **options)
        self.inside -= 1
        self.sizes.append(len(part))
        if cursor == 0:
            self._first = part
        return follows, {**self._first, **part} if self.is_told_twice else part


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[Watched]:
    client = Watched(connection_pool=aredis.ConnectionPool.from_url(redis_url))
    kept: Any = await client.config_get("hash-max-listpack-entries")
    mapping: Any = {f"{n % 24:02}|k:{n // 24:05}|wine|v1.0.0|u": n for n in range(FIELDS)}
    await client.hset(KEY, mapping=mapping)
    yield client
    for name, value in kept.items():
        await client.config_set(name, value)
    await client.aclose()


@contextlib.asynccontextmanager
async def other() -> AsyncIterator[list[int]]:
    """Another task of the event loop, and how often it had its turn."""
    turns = [0]

    async def run() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(run())
    try:
        yield turns
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def in_one_piece(server: Watched) -> None:
    """Keep the hash such that it answers the first HSCAN whole."""
    mapping: Any = await server.hgetall(KEY)
    await server.delete(KEY)
    await server.config_set("hash-max-listpack-entries", 2 * FIELDS)
    await server.hset(KEY, mapping=mapping)


def expected(group: Group) -> list[Row]:
    found: dict[Spot, Tally] = {}
    for n in range(FIELDS):
        start = DAY + (n % 24) * 3600 if group is Group.HOUR else DAY
        spot = Spot(start, f"k:{n // 24:05}", "wine", "v1.0.0")
        found.setdefault(spot, Tally()).units += n
    return sorted(found.items(), key=lambda row: row[0])


async def test_replies_are_bounded(server: Watched) -> None:
    page = await Usage(server).page("acme", WHOLE, Group.DAY, None, 1)
    assert page.items == expected(Group.DAY)[:1]
    assert sum(server.sizes) >= FIELDS
    # COUNT may be passed by what one bucket holds.
    assert max(server.sizes) < 2 * SLICE


@pytest.mark.parametrize("whole", [False, True])
async def test_others_have_their_turn_between_slices(server: Watched, *, whole: bool) -> None:
    if whole:
        await in_one_piece(server)
    found: list[tuple[bytes, bytes]] = []
    before = -1
    async with other() as turns:
        async for part in scan(server, KEY, None):
            assert 0 < len(part) <= SLICE
            assert turns[0] > before
            before = turns[0]
            found += part
    assert (max(server.sizes) == FIELDS) is whole
    assert len(found) == len(dict(found)) == FIELDS


async def test_others_have_their_turn_while_rows_are_put_in_order() -> None:
    tallies = {Spot(DAY, f"k:{n:05}"): Tally(n) for n in reversed(range(4 * SLICE))}
    async with other() as turns:
        seen = [(turns[0], row) async for row in in_order(tallies)]
    assert [row for _, row in seen] == sorted(tallies.items(), key=lambda row: row[0])
    assert seen[0][0] >= 4
    for number in range(SLICE, 4 * SLICE, SLICE):
        assert seen[number][0] > seen[number - 1][0]


async def test_a_page_reads_the_hours_that_it_needs(server: Watched) -> None:
    usage = Usage(server)
    page = await usage.page("acme", WHOLE, Group.HOUR, None, 1)
    assert page.items == expected(Group.HOUR)[:1]
    assert set(server.patterns) == {"0[0-0]|*"}
    assert sum(server.sizes) < 2 * CLIENTS
    server.patterns.clear()
    last = await usage.page("acme", Period(DAY + 13 * 3600, DAY + 14 * 3600), Group.HOUR, None, 1)
    assert last.items[0][0].start == DAY + 13 * 3600
    assert set(server.patterns) == {"1[3-3]|*"}


async def test_pages_of_a_large_day_are_its_rows(server: Watched) -> None:
    usage = Usage(server)
    found: list[Row] = []
    after = None
    while True:
        page = await usage.page("acme", WHOLE, Group.HOUR, after, 301)
        found += page.items
        after = page.next
        if after is None:
            break
    assert found == expected(Group.HOUR)


@pytest.mark.parametrize("group", list(Group))
async def test_a_field_told_twice_counts_once(server: Watched, group: Group) -> None:
    server.is_told_twice = True
    found = [row async for row in Usage(server).rows("acme", WHOLE, group)]
    assert sum(tally.units for _, tally in found) == sum(range(FIELDS))


@pytest.mark.parametrize("first", range(24))
def test_windows_are_each_hour_once(first: int) -> None:
    for last in range(first, 24):
        globs = list(windows(range(first, last + 1)))
        assert len(globs) <= 7
        hours = [h for glob in globs for h in range(24) if fnmatch.fnmatch(f"{h:02}|k", glob)]
        assert hours == list(range(first, last + 1))


async def reads(usage: Usage, server: Watched, *tenants: str) -> list[asyncio.Task[Page[Row]]]:
    """Reads that are under way, or wait for their turns."""
    for name in tenants:
        if name != "acme":
            await server.hset(layout.usage(f"t:{name}", "20240228"), "00|k:1|wine|v1.0.0|u", "1")
    return [asyncio.create_task(usage.page(name, WHOLE, Group.HOUR, None, 1)) for name in tenants]


async def settled(server: Watched) -> None:
    """The server answers others meanwhile: who could have come by now has."""
    for _ in range(20):
        await server.ping()


async def test_a_third_read_waits(server: Watched) -> None:
    server.gate.clear()
    begun = await reads(Usage(server, Turns(wait_s=30)), server, "acme", "b", "c", "d")
    await server.full.wait()
    await settled(server)
    assert server.inside == AT_ONCE
    server.gate.set()
    assert [len(page.items) for page in await asyncio.gather(*begun)] == [1, 1, 1, 1]
    assert server.peak == AT_ONCE


async def test_a_tenant_leaves_a_turn_to_others(server: Watched) -> None:
    server.gate.clear()
    usage = Usage(server, Turns(wait_s=30))
    begun = await reads(usage, server, *["acme"] * 5)
    await settled(server)
    assert server.inside == 1
    begun += await reads(usage, server, "b")
    await server.full.wait()
    server.gate.set()
    assert [len(page.items) for page in await asyncio.gather(*begun)] == [1] * 6


async def test_without_a_turn_it_is_overloaded(server: Watched) -> None:
    usage = Usage(server, Turns(wait_s=0.01))
    server.gate.clear()
    begun = await reads(usage, server, "acme", "b")
    await server.full.wait()
    for tenant in ("acme", "c"):
        with pytest.raises(Overloaded) as caught:
            await usage.page(tenant, WHOLE, Group.DAY, None, 1)
        assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})
    with pytest.raises(InvalidParameter):
        await usage.page("acme", WHOLE, Group.DAY, "x", 1)
    for read in begun:
        read.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    server.gate.set()
    assert (await usage.page("acme", WHOLE, Group.DAY, None, 1)).next is not None
