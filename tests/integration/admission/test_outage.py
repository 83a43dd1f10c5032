"""The limits server hangs, dies, loses replies: what clients get, and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.allowance import CALM_S, MOST_S, MOST_UNITS, Allowance
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.permit import Permit, Price
from control_plane.admission.principal import Principal
from control_plane.errors import AdmissionUnavailable, TidegateError
from tests.integration.admission.conftest import counter_process, free_port
from tests.integration.admission.hammer import principal
from tests.integration.admission.proxy import LossyProxy

WIDE = Limits(requests=10**6, window_s=1, burst=10**6, concurrency=10_000)
ALONE = Price("wine", "v1.0.0", units=3, deadline_ms=5000, ahead=False)
AHEAD = Price("wine", "v1.0.0", units=3, deadline_ms=5000, ahead=True)
NOBODY = Principal(
    "anonymous", "a:192.0.2.1", "", "a:192.0.2.1", "anonymous", WIDE, ("predict",)
)  # fmt: skip


@contextlib.asynccontextmanager
async def opened(port: int, replicas: int = 1) -> AsyncIterator[Gate]:
    link = Link(f"redis://127.0.0.1:{port}/0")
    gate = Gate(Ledger(link), replicas=lambda: replicas, refused=lambda _: None)
    try:
        yield gate
    finally:
        await gate.close(5)
        link.close()


async def admitted(gate: Gate, who: Principal, price: Price = ALONE) -> Permit:
    """An admission, asked for as the pipeline does."""
    end = asyncio.get_running_loop().time() + 30
    return gate.take(who, price) or await gate.admit(who, price, end)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0.02)


def used(port: int, tenant: str) -> int:
    with redis.Redis(port=port) as server:
        return int(server.hget(layout.state(f"t:{tenant}"), "mu") or 0)


@pytest.mark.parametrize("price", [ALONE, AHEAD], ids=["one by one", "ahead"])
async def test_a_call_whose_reply_was_lost_is_charged_once(redis_url: str, price: Price) -> None:
    target = int(redis_url.rpartition(":")[2].partition("/")[0])
    async with LossyProxy(target, every=9).running() as proxy, opened(proxy.port) as gate:
        who = principal("lossy", WIDE)
        paid, was_away = 0, False
        for turn in range(160):
            permit = await admitted(gate, who, price)
            if turn % 4:
                permit.confirm(0.001)
                paid += 1
            else:
                permit.refund()
            await asyncio.sleep(0.002)
            was_away |= gate.is_away
        await until(lambda: not gate.is_away)
        assert proxy.lost >= 3
        await gate.close(5)
        with redis.Redis(port=target) as server:
            state = server.hgetall(layout.state("t:lossy"))
            usage = server.hgetall(layout.usage("t:lossy", state[b"day"].decode()))
            orphans = server.hlen(layout.permits("t:lossy"))
        counted = {name.decode().rpartition("|")[2]: int(n) for name, n in usage.items()}
        assert counted == {"u": 3 * paid, "r": 160, "e": 160 - paid, "c": 1000 * paid}
        # On a machine so slow that two replies in a row come late the call is given up, and what
        # it reserved lapses later.
        assert was_away or orphans == 0
        if orphans == 0:
            assert int(state[b"mu"]) == 3 * paid
            assert state[b"slots"] == state[b"held"] == b"0"


@pytest.mark.parametrize("kind", ["valkey", "redis-server"])
async def test_a_server_that_hangs_is_replaced_by_an_allowance_and_told_afterwards(
    kind: str, tmp_path: Path
) -> None:
    port = free_port()
    who = principal("known", WIDE)
    with counter_process(kind, tmp_path, port) as server:
        async with opened(port) as gate:
            (await admitted(gate, who)).confirm(0.0)
            await until(lambda: used(port, "known") == 3)
            server.send_signal(signal.SIGSTOP)
            for _ in range(10):
                (await admitted(gate, who)).confirm(0.0)
            running = await admitted(gate, who)
            assert gate.is_away
            with pytest.raises(AdmissionUnavailable) as refused:
                await admitted(gate, NOBODY)
            assert refused.value.headers["retry-after"] == "5"
            server.send_signal(signal.SIGCONT)
            await until(lambda: not gate.is_away)
            running.confirm(0.0)
            (await admitted(gate, NOBODY)).refund()
            await gate.close(5)
            # Ten and one on the allowance and one before; a lost reply may have reserved more,
            # which nobody settles: it lapses.
            with redis.Redis(port=port) as client:
                usage = client.hgetall(layout.usage("t:known", day(client)))
            assert sum(int(n) for name, n in usage.items() if name.endswith(b"|u")) == 3 * 12


async def test_a_server_that_dies_and_comes_back_empty_is_told_of_the_time_between(
    tmp_path: Path,
) -> None:
    port = free_port()
    who = principal("known", WIDE)
    async with opened(port) as gate:
        with counter_process("valkey", tmp_path, port):
            (await admitted(gate, who)).confirm(0.0)
            await until(lambda: used(port, "known") == 3)
        permits = [await admitted(gate, who) for _ in range(5)]
        assert gate.is_away
        for permit in permits[:3]:
            permit.confirm(0.0)
        permits[3].refund()
        with counter_process("valkey", tmp_path, port):
            await until(lambda: not gate.is_away)
            permits[4].confirm(0.0)
            await until(lambda: used(port, "known") == 12)


def day(client: redis.Redis) -> str:
    return str(client.hget(layout.state("t:known"), "day").decode())


def test_an_allowance_is_a_share_of_the_limits() -> None:
    limits = Limits(requests=60, window_s=60, burst=8, concurrency=6)
    who, allowance = principal("one", limits), Allowance(lambda: 2)
    allowance.begin(0.0)
    for _ in range(3):
        allowance.take(who, ALONE, 0.0)
    with pytest.raises(TidegateError) as crowded:
        allowance.take(who, ALONE, 0.0)
    assert crowded.value.code == "CONCURRENCY_LIMITED"
    for _ in range(3):
        allowance.leave(who)
    allowance.take(who, ALONE, 0.0)
    with pytest.raises(TidegateError) as fast:
        allowance.take(who, ALONE, 0.0)
    assert fast.value.code == "RATE_LIMITED"
    assert fast.value.headers["retry-after"] == "2"
    allowance.leave(who)
    allowance.take(who, ALONE, 2.0)


def test_an_allowance_ends_after_a_minute_and_with_its_units() -> None:
    who, allowance = principal("one", WIDE), Allowance(lambda: 1)
    allowance.begin(100.0)
    dear = Price("wine", "v1.0.0", units=MOST_UNITS, deadline_ms=1000, ahead=False)
    allowance.take(who, dear, 100.0)
    with pytest.raises(AdmissionUnavailable):
        allowance.take(who, ALONE, 100.0)
    allowance.begin(200.0)
    allowance.take(who, ALONE, 200.0 + MOST_S)
    with pytest.raises(AdmissionUnavailable):
        allowance.take(who, ALONE, 200.1 + MOST_S)


def test_an_allowance_begins_where_the_accounts_left_off() -> None:
    limits = Limits(requests=60, window_s=60, burst=8, concurrency=60)
    who, allowance = principal("one", limits), Allowance(lambda: 1)
    allowance.begin(0.0)
    for _ in range(3):
        allowance.take(who, ALONE, 0.0, 5.0)
    with pytest.raises(TidegateError):
        allowance.take(who, ALONE, 0.0, 5.0)


def test_a_server_that_comes_and_goes_gives_no_allowance_anew() -> None:
    limits = Limits(requests=60, window_s=60, burst=8, concurrency=60)
    who, allowance = principal("one", limits), Allowance(lambda: 1)
    for begun in range(8):
        allowance.begin(begun * 0.1)
        allowance.take(who, ALONE, begun * 0.1)
        allowance.end(begun * 0.1 + 0.05)
    allowance.begin(0.8)
    with pytest.raises(TidegateError):
        allowance.take(who, ALONE, 0.8)
    allowance.end(MOST_S)
    allowance.begin(MOST_S + 1)
    with pytest.raises(AdmissionUnavailable):
        allowance.take(who, ALONE, MOST_S + 2)
    allowance.end(MOST_S + 2)
    allowance.begin(MOST_S + CALM_S + 3)
    allowance.take(who, ALONE, MOST_S + CALM_S + 3)
