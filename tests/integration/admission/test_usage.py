"""Usage: it agrees with the quota to the unit, whatever becomes of requests and servers."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as aredis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits import ledger
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Demand, Entry, Ledger, Report
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.permit import Price
from control_plane.admission.limits.standing import month_end
from control_plane.admission.principal import Principal
from control_plane.admission.usage.period import DAY_S, MAX_DAYS, Group, Period, day_name, month_of
from control_plane.admission.usage.reading import Usage
from control_plane.admission.usage.tallies import Row, Spot, Tally, total
from control_plane.errors import AdmissionUnavailable, InvalidParameter
from tests.integration.admission.conftest import await_answer, free_port, server_binary

AMPLE = Limits(
    requests=1_000_000, window_s=1, burst=1_000_000, concurrency=1_000_000,
    month_units=10**9, day_units=10**9,
)  # fmt: skip
SUBJECT = "t:acme"
LAPSE_MS = 400


def principal(client: str = "k:one", limits: Limits = AMPLE) -> Principal:
    return Principal("key", SUBJECT, "acme", client, "tests", limits, ("predict",))


def price(model: str, units: int, ttl_ms: int = 10_000) -> Price:
    found = Price(model, "v1.0.0", units=units, ahead=True)
    found.ttl_ms = ttl_ms
    return found


def this_month() -> Period:
    now = int(time.time())
    return Period(month_of(now), month_end(now))


class Process:
    """A gate with a connection of its own, as a process has it."""

    def __init__(self, url: str) -> None:
        self.link = Link(url)
        self.gate = Gate(Ledger(self.link), replicas=lambda: 1, refused=lambda _: None)

    async def serve(self, who: Principal, kind: Price, end: str) -> None:
        """One request: ``paid``, ``failed``, ``refunded``, or ``lost`` with its process."""
        deadline = asyncio.get_running_loop().time() + 10
        permit = self.gate.take(who, kind) or await self.gate.admit(who, kind, deadline)
        await asyncio.sleep(random.uniform(0, 0.01))
        if end == "paid":
            permit.confirm(0.001)
        elif end != "lost":
            permit.refund(failed=end == "failed")

    async def stop(self) -> None:
        """Stop as on SIGTERM."""
        await self.gate.close(5)
        self.link.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[aredis.Redis]:
    client = aredis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def rows(usage: Usage, group: Group = Group.HOUR, period: Period | None = None) -> list[Row]:
    return [row async for row in usage.rows("acme", period or this_month(), group)]


async def reclaimed(url: str) -> None:
    """Let the accounts take back what lapsed."""
    link = Link(url)
    await Ledger(link).ask([Entry(SUBJECT, AMPLE, [], [])])
    link.close()


async def test_usage_and_quota_agree_to_the_unit(redis_url: str, server: aredis.Redis) -> None:
    processes = [Process(redis_url) for _ in range(4)]
    kinds = {("wine", units): price("wine", units, LAPSE_MS) for units in (1, 7)}
    kinds |= {("mood", units): price("mood", units, LAPSE_MS) for units in (0, 3)}
    expected: dict[tuple[str, str], Counter[str]] = {}
    work = []
    for _ in range(3000):
        client, (model, units) = random.choice(["k:one", "j:two"]), random.choice(list(kinds))
        end = random.choice(["paid", "paid", "paid", "failed", "refunded"])
        count = expected.setdefault((client, model), Counter())
        count["requests"] += 1
        count["errors"] += end == "failed"
        count["units"] += units * (end == "paid")
        count["compute_us"] += 1000 * (end == "paid")
        process = random.choice(processes[1:])
        work.append(process.serve(principal(client), kinds[model, units], end))
    # Of the first process nothing is ever settled, as if it were killed: its permits lapse.
    work += [processes[0].serve(principal(), kinds["wine", 7], "lost") for _ in range(100)]
    random.shuffle(work)
    await asyncio.gather(*work)
    for process in processes:
        await process.stop()
    usage = Usage(server)
    before = await usage.quota("acme", AMPLE)
    await asyncio.sleep(LAPSE_MS / 1000 + 0.1)
    await reclaimed(redis_url)

    found: dict[tuple[str, str], Counter[str]] = {}
    for spot, tally in await rows(usage):
        assert spot.version == "v1.0.0"
        found.setdefault((spot.client, spot.model), Counter()).update(
            requests=tally.requests, errors=tally.errors, units=tally.units,
            compute_us=tally.compute_us,
        )  # fmt: skip
    assert {key: +count for key, count in found.items()} == {
        key: +count for key, count in expected.items()
    }
    units = sum(count["units"] for count in expected.values())
    state = await server.hgetall(layout.state(SUBJECT))
    assert int(state[b"mu"]) == int(state[b"du"]) == units
    assert (state[b"slots"], state[b"held"]) == (b"0", b"0")
    after = await usage.quota("acme", AMPLE)
    for window in (after.month, after.day, before.month, before.day):
        assert (window.limit, window.used) == (10**9, units)
        assert window.remaining == 10**9 - units - window.reserved
    assert after.month.reserved == 0
    assert before.month.reserved in range(0, 701, 7)  # of the 100 those that have not lapsed yet
    assert await usage.units("acme", this_month()) == units


async def test_a_clean_stop_loses_nothing(redis_url: str, server: aredis.Redis) -> None:
    process = Process(redis_url)
    kind = price("wine", 5)
    await asyncio.gather(*(process.serve(principal(), kind, "paid") for _ in range(500)))
    await process.stop()
    (row,) = await rows(Usage(server))
    assert row[1] == Tally(requests=500, units=2500, compute_us=500_000)
    assert await server.hlen(layout.permits(SUBJECT)) == 0


async def test_usage_is_kept_for_400_days(redis_url: str, server: aredis.Redis) -> None:
    process = Process(redis_url)
    await process.serve(principal(), price("wine", 5), "paid")
    await process.stop()
    (key,) = await server.keys(layout.usage(SUBJECT, "*").replace("{", "[{]").replace("}", "[}]"))
    assert 399 * DAY_S < await server.ttl(key) <= MAX_DAYS * DAY_S


async def test_a_debt_of_an_outage_is_in_both(redis_url: str, server: aredis.Redis) -> None:
    link = Link(redis_url)
    owed = Demand("p.1", "k:one", 3, 0, 0, 5, 0, 10_000, owed=1)
    report = Report("p.1", 3, 3, 3, 0, "k:one|wine|v1.0.0", 3, 0, 10)
    for entry in ([], [owed]), ([report], []), ([report], []):
        await Ledger(link).ask([Entry(SUBJECT, AMPLE, *entry)])
    link.close()
    assert await Usage(server).units("acme", this_month()) == 15
    assert await server.hget(layout.state(SUBJECT), "mu") == b"15"


@pytest.fixture(params=["valkey", "redis-server"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Durable]:
    found = Durable(request.param, tmp_path)
    found.start()
    yield found
    found.kill()


class Durable:
    """A counter server that writes to its disk every second, as ``tidegate up`` runs it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._argv = [server_binary(name), "--port", str(self.port), "--bind", "127.0.0.1",
                      "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
                      "--dir", str(folder), "--loglevel", "warning"]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await_answer(self.port)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


async def test_what_is_two_seconds_old_survives_kill_9(durable: Durable) -> None:
    process = Process(durable.url)
    kind = price("wine", 5)
    await asyncio.gather(*(process.serve(principal(), kind, "paid") for _ in range(200)))
    await process.stop()
    await asyncio.sleep(2)
    durable.kill()
    async with aredis.Redis.from_url(durable.url) as gone:
        with pytest.raises(AdmissionUnavailable):
            await Usage(gone).quota("acme", AMPLE)
    durable.start()
    async with aredis.Redis.from_url(durable.url) as server:
        usage = Usage(server)
        assert await usage.units("acme", this_month()) == 1000
        assert (await usage.quota("acme", AMPLE)).month.used == 1000
        again = Process(durable.url)
        await again.serve(principal(), kind, "paid")
        await again.stop()
        assert (await usage.quota("acme", AMPLE)).month.used == 1005
        assert await usage.units("acme", this_month()) == 1005


def test_the_calendar_of_the_script_is_that_of_python(redis_url: str) -> None:
    text = Path(ledger.__file__).with_name("limits.lua").read_text()
    begin = text.index("local function civil(")
    civil = text[begin : text.index("\nend\n", begin) + 5]
    script = (
        civil + "local said = {}\nfor i, s in ipairs(ARGV) do said[i] = civil(s) end\nreturn said"
    )
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(80_000)]
    for year in (1972, 2000, 2024, 2026, 2100, 2400):
        for edge in (datetime(year, 3, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)):
            moments += [edge - timedelta(seconds=1), edge, edge + timedelta(hours=23, seconds=3599)]
    with redis.Redis.from_url(redis_url) as client:
        for start in range(0, len(moments), 5000):
            part = moments[start : start + 5000]
            said: Any = client.eval(script, 0, *(int(moment.timestamp()) for moment in part))
            assert [name.decode() for name in said] == [f"{at:%Y%m%d%H}" for at in part]


async def test_a_month_ends(redis_url: str, server: aredis.Redis) -> None:
    """Permits of the month before are settled, refunded and lapse in the next one."""
    link = Link(redis_url)
    accounts = Ledger(link)
    demands = [Demand(f"p.{n}", "k:one", 4, 0, 1, 5, 1, ttl) for n, ttl in ((1, 9000), (2, 1))]
    await accounts.ask([Entry(SUBJECT, AMPLE, [], demands)])
    await server.hset(layout.state(SUBJECT), mapping={"mu": 140, "du": 140})
    await _moved_back(server)
    await asyncio.sleep(0.01)
    usage = Usage(server)
    assert (await usage.quota("acme", AMPLE)).month.used == 0
    # Of the first permit two are paid and two refunded; the second, of 20 units, lapses.
    report = Report("p.1", 4, 4, 2, 0, "k:one|wine|v1.0.0", 4, 2, 10)
    fresh = Demand("p.3", "k:one", 1, 0, 1, 5, 1, 9000)
    await accounts.ask([Entry(SUBJECT, AMPLE, [report], [fresh])])
    link.close()
    state = await server.hgetall(layout.state(SUBJECT))
    assert state[b"month"].decode() == day_name(int(time.time()))[:6]
    assert state[b"mu"] == b"5"
    assert state[b"m:202001"] == b"110"
    old = Period(int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()), this_month().start)
    assert await usage.units("acme", Period(old.start, old.start + 31 * 86_400)) == 10
    month = (await usage.quota("acme", AMPLE)).month
    assert (month.used, month.reserved) == (0, 5)


async def _moved_back(server: aredis.Redis) -> None:
    """As if all that was granted until now had been granted in January 2020."""
    await server.hset(layout.state(SUBJECT), mapping={"month": "202001", "day": "20200131"})
    for name, packed in (await server.hgetall(layout.permits(SUBJECT))).items():
        parts = packed.decode().split(";")
        parts[7] = "2020013123"
        await server.hset(layout.permits(SUBJECT), name, ";".join(parts))


async def test_a_lapsed_permit_that_nobody_reclaimed_holds_nothing(
    redis_url: str, server: aredis.Redis
) -> None:
    link = Link(redis_url)
    limits = Limits(requests=100, burst=100, concurrency=100, month_units=100, day_units=50)
    demands = [Demand(f"p.{n}", "k:one", 2, 0, 1, 5, 1, ttl) for n, ttl in ((1, 9000), (2, 1))]
    await Ledger(link).ask([Entry(SUBJECT, limits, [], demands)])
    link.close()
    await asyncio.sleep(0.01)
    quota = await Usage(server).quota("acme", limits)
    assert (quota.month.used, quota.month.reserved, quota.month.remaining) == (0, 10, 90)
    assert (quota.day.used, quota.day.reserved, quota.day.remaining) == (0, 10, 40)
    assert quota.month.resets_at == this_month().end
    assert (await server.hget(layout.state(SUBJECT), "mu")) == b"20"


async def test_a_tenant_that_never_called_stands_at_nothing(server: aredis.Redis) -> None:
    usage = Usage(server)
    quota = await usage.quota("acme", None)
    assert (quota.month.limit, quota.month.used, quota.month.remaining) == (None, 0, None)
    assert await rows(usage) == []
    assert await usage.last_used("acme", []) == []
    assert await server.dbsize() == 0


async def test_the_last_use_of_a_key(redis_url: str, server: aredis.Redis) -> None:
    process = Process(redis_url)
    await process.serve(principal("k:one"), price("wine", 1), "failed")
    await process.stop()
    one, two = await Usage(server).last_used("acme", ["k:one", "k:two"])
    assert one is not None
    assert abs(one - time.time()) < 3600
    assert two is None


BEGIN = datetime(2024, 2, 27, tzinfo=UTC)


async def written(server: aredis.Redis) -> dict[Spot, Tally]:
    """Random usage of four days around the end of a month, by the hour."""
    chance = random.Random(7)
    model: dict[Spot, Tally] = {}
    for hour in range(24 * 4):
        when = BEGIN + timedelta(hours=hour)
        for client in ("j:b", "k:a", "k:c"):
            for name, version in (("", ""), ("mood", "v1.0.0"), ("wine", "v1.0.0")):
                if chance.random() < 0.3:
                    tally = Tally(
                        1 + chance.randrange(9), chance.randrange(2), chance.randrange(99)
                    )
                    model[Spot(int(when.timestamp()), client, name, version)] = tally
    for spot, tally in model.items():
        await _write(server, spot, tally)
    return model


async def _write(server: aredis.Redis, spot: Spot, tally: Tally) -> None:
    hour = datetime.fromtimestamp(spot.start, UTC)
    field = f"{hour:%H}|{spot.client}|{spot.model}|{spot.version}|"
    amounts = {"r": tally.requests, "e": tally.errors, "u": tally.units, "c": tally.compute_us}
    mapping = {field + measure: amount for measure, amount in amounts.items() if amount}
    await server.hset(layout.usage(SUBJECT, f"{hour:%Y%m%d}"), mapping=mapping)


def grouped(model: dict[Spot, Tally], period: Period, form: str) -> list[tuple[Spot, Tally]]:
    found: dict[Spot, list[Tally]] = {}
    for spot, tally in model.items():
        if period.start <= spot.start < period.end:
            text = f"{datetime.fromtimestamp(spot.start, UTC):{form}}"
            start = int(datetime.strptime(text + "+0000", form + "%z").timestamp())
            found.setdefault(Spot(start, spot.client, spot.model, spot.version), []).append(tally)
    return sorted(((spot, total(parts)) for spot, parts in found.items()), key=lambda row: row[0])


@pytest.mark.parametrize(("first", "last"), [(0, 96), (5, 90), (24, 48), (30, 31), (-500, 5000)])
@pytest.mark.parametrize(
    ("group", "form"),
    [(Group.HOUR, "%Y-%m-%dT%H"), (Group.DAY, "%Y-%m-%d"), (Group.MONTH, "%Y-%m")],
)
async def test_pages_are_the_rows_of_the_period(
    server: aredis.Redis, group: Group, form: str, first: int, last: int
) -> None:
    model = await written(server)
    start = int(BEGIN.timestamp())
    period = Period(start + first * 3600, start + last * 3600)
    expected = grouped(model, period, form)
    usage = Usage(server)
    assert await rows(usage, group, period) == expected
    for limit in (1 if group is Group.MONTH else 7, len(expected), len(expected) + 1):
        found: list[Row] = []
        after = None
        while True:
            page = await usage.page("acme", period, group, after, max(1, limit))
            assert await usage.page("acme", period, group, after, max(1, limit)) == page
            found += page.items
            if page.next is None:
                break
            assert len(page.items) == limit
            after = page.next
        assert found == expected


async def test_rows_that_come_meanwhile_move_no_other(server: aredis.Redis) -> None:
    model = await written(server)
    usage, start = Usage(server), int(BEGIN.timestamp())
    period = Period(start, start + 96 * 3600)
    found: list[Row] = []
    after = None
    chance = random.Random(8)
    while True:
        page = await usage.page("acme", period, Group.HOUR, after, 5)
        found += page.items
        if page.next is None:
            break
        after = page.next
        for client in ("k:0", "k:b", "k:z"):
            spot = Spot(start + 3600 * chance.randrange(96), client, "later", "v1.0.0")
            await _write(server, spot, Tally(requests=1))
    spots = [spot for spot, _ in found]
    assert spots == sorted(set(spots))
    assert [row for row in found if row[0].model != "later"] == sorted(model.items())


async def test_a_large_day_is_read_in_parts(server: aredis.Redis) -> None:
    mapping = {f"07|k:{n:05}|wine|v1.0.0|u": n for n in range(5000)}
    await server.hset(layout.usage(SUBJECT, "20240227"), mapping=mapping)
    start = int(BEGIN.timestamp())
    found = await rows(Usage(server), Group.HOUR, Period(start, start + 86_400))
    assert [tally.units for _, tally in found] == list(range(5000))


@pytest.mark.parametrize(
    "text", ["", "x", "W10", "WzFd", "e30", "WzEsIiIsIiIsIiIsMV0", "é", "W1tbW1tb"]
)
async def test_a_cursor_of_another_list_is_refused(server: aredis.Redis, text: str) -> None:
    with pytest.raises(InvalidParameter):
        await Usage(server).page("acme", this_month(), Group.HOUR, text, 5)
