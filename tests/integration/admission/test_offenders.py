"""Clients that keep sending errors wait longer and longer; those that mend their ways do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import redis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.offences import BadCredentials
from control_plane.admission.limits.permit import Permit, Price
from control_plane.admission.principal import Principal
from control_plane.errors import TidegateError
from tests.integration.admission.hammer import principal

WIDE = Limits(requests=10**6, window_s=1, burst=10**6, concurrency=10_000)
GOOD = Price("wine", "v1.0.0", units=1, deadline_ms=1000)
BAD = Price(offence=1000)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Gate]:
    link = Link(url)
    gate = Gate(Ledger(link), replicas=lambda: 1, refused=lambda _: None)
    try:
        yield gate
    finally:
        await gate.close(5)
        link.close()


async def admitted(gate: Gate, who: Principal, price: Price) -> Permit:
    return await gate.admit(who, price, asyncio.get_running_loop().time() + 30)


async def offend(gate: Gate, who: Principal, times: int) -> None:
    for _ in range(times):
        (await admitted(gate, who, BAD)).refund()


async def offend_until_blocked(gate: Gate, who: Principal) -> tuple[int, int]:
    """How many errors that took, and the wait that the client is told, seconds."""
    for count in range(40):
        try:
            await offend(gate, who, 1)
        except TidegateError as refused:
            if refused.code != "TEMPORARILY_BLOCKED":
                raise
            return count, int(refused.headers["retry-after"])
    pytest.fail("it was never blocked")


async def test_the_wait_doubles_with_each_block_and_another_key_is_not_touched(
    redis_url: str,
) -> None:
    async with opened(redis_url) as gate:
        who = principal("offender", WIDE)
        other = Principal("key", who.subject, who.tenant, "k:other", "tests", WIDE, ("predict",))
        for wait in (1, 2, 4):
            count, told = await offend_until_blocked(gate, who)
            assert told == wait
            # Twenty points the first time, ten were left the next; time takes some away.
            assert count >= (20 if wait == 1 else 10)
            (await admitted(gate, other, GOOD)).confirm(0)
            await asyncio.sleep(wait)
            (await admitted(gate, who, GOOD)).refund()


async def test_a_client_whose_every_fifth_request_is_invalid_is_never_blocked(
    redis_url: str,
) -> None:
    async with opened(redis_url) as gate:
        who = principal("clumsy", WIDE)
        for _ in range(60):
            await offend(gate, who, 1)
            for _ in range(4):
                (await admitted(gate, who, GOOD)).confirm(0)


async def test_a_client_that_calls_on_over_its_rate_is_blocked_in_the_end(redis_url: str) -> None:
    limits = Limits(requests=1, window_s=60, burst=1, concurrency=10)
    async with opened(redis_url) as gate:
        await offend(gate, principal("deaf", WIDE), 15)
        who = principal("deaf", limits)
        (await admitted(gate, who, GOOD)).confirm(0)
        codes = set()
        for _ in range(600):
            with pytest.raises(TidegateError) as refused:
                await admitted(gate, who, GOOD)
            codes.add(refused.value.code)
            if refused.value.code == "TEMPORARILY_BLOCKED":
                break
            await asyncio.sleep(0.1)
        assert codes == {"RATE_LIMITED", "TEMPORARILY_BLOCKED"}


@pytest.mark.parametrize("name", ["b:k:soft", "block"], ids=["the client", "the subject"])
async def test_a_soft_block_leaves_a_quarter_and_says_so(redis_url: str, name: str) -> None:
    limits = Limits(requests=60, window_s=60, burst=40, concurrency=100)
    with redis.Redis.from_url(redis_url) as server:
        server.hset(layout.state("t:soft"), name, f"soft;{2**52}")
    async with opened(redis_url) as gate:
        who = principal("soft", limits)
        permits = [await admitted(gate, who, GOOD) for _ in range(10)]
        with pytest.raises(TidegateError) as refused:
            await admitted(gate, who, GOOD)
        assert all(permit.soft for permit in permits)
        assert dict(permits[0].headers())[b"x-ratelimit-limit"] == b"10"
        assert dict(permits[0].headers())[b"x-ratelimit-remaining"] == b"9"
        assert refused.value.code == "RATE_LIMITED"
        assert refused.value.headers["retry-after"] == "4"
        for permit in permits:
            permit.confirm(0)


async def test_a_hard_block_admits_nothing_and_gives_back_what_was_granted_ahead(
    redis_url: str,
) -> None:
    ahead = Price("wine", "v1.0.0", units=1, deadline_ms=1000, ahead=True)
    async with opened(redis_url) as gate:
        who = principal("hard", WIDE)
        (await admitted(gate, who, ahead)).confirm(0)
        with redis.Redis.from_url(redis_url) as server:
            server.hset(layout.state("t:hard"), "b:k:hard", f"hard;{2**52}")
            await asyncio.sleep(0.2)
            assert gate.take(who, ahead) is None
            with pytest.raises(TidegateError) as blocked:
                await admitted(gate, who, ahead)
            assert blocked.value.code == "TEMPORARILY_BLOCKED"
            server.hdel(layout.state("t:hard"), "b:k:hard")
        (await admitted(gate, who, ahead)).confirm(0)


async def test_bad_credentials_slow_their_network_down_and_nobody_else(redis_url: str) -> None:
    link = Link(redis_url)
    bad = BadCredentials(Ledger(link))
    for _ in range(20):
        bad.note("192.0.2.7")
    async with asyncio.timeout(60):
        while not bad.slowed("192.0.2.7"):
            await asyncio.sleep(0.01)
            bad.note("192.0.2.7")
    assert 0 < bad.slowed("192.0.2.7") <= 1
    assert bad.slowed("192.0.2.8") == 0
    await bad.close()
    async with opened(redis_url) as gate:
        who = Principal(
            "anonymous", "a:192.0.2.7", "", "a:192.0.2.7", "anonymous", WIDE, ("predict",)
        )
        (await admitted(gate, who, GOOD)).refund()
    link.close()
