"""What a process holds of others: clients that go, shared token subjects, many clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest
import redis

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import Limits
from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.ledger import Ledger
from control_plane.admission.limits.link import Link
from control_plane.admission.limits.permit import Permit, Price
from control_plane.admission.principal import Principal
from control_plane.errors import AdmissionUnavailable, TidegateError
from tests.integration.admission.hammer import principal

WIDE = Limits(requests=10**6, window_s=1, burst=10**6, concurrency=10**6, month_units=10**9)
AHEAD = Price("wine", "v1.0.0", units=1, deadline_ms=60_000, ahead=True)
ALONE = Price("wine", "v1.0.0", units=1, deadline_ms=60_000)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Gate]:
    link = Link(url)
    gate = Gate(Ledger(link), replicas=lambda: 1, refused=lambda _: None)
    try:
        yield gate
    finally:
        await gate.close(10)
        link.close()


async def served(gate: Gate, who: Principal, price: Price = AHEAD) -> Permit:
    end = asyncio.get_running_loop().time() + 30
    return gate.take(who, price) or await gate.admit(who, price, end)


def state(url: str, subject: str) -> Mapping[bytes, bytes]:
    with redis.Redis.from_url(url) as server:
        found: Mapping[bytes, bytes] = server.hgetall(layout.state(subject))
        return found


async def test_clients_that_go_while_they_wait_leave_nothing_behind(redis_url: str) -> None:
    async with opened(redis_url) as gate:
        hasty, patient = principal("hasty", WIDE), principal("patient", WIDE)

        async def impatient() -> None:
            for turn in range(200):
                waiting = asyncio.create_task(served(gate, hasty, ALONE))
                await asyncio.sleep(0.0001 * (turn % 12))
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    (await waiting).refund()

        async def late() -> None:
            loop = asyncio.get_running_loop()
            for turn in range(200):
                with contextlib.suppress(TidegateError):
                    end = loop.time() + 0.0001 * (turn % 12)
                    (await gate.admit(hasty, ALONE, end)).refund()

        async def steady() -> None:
            for _ in range(150):
                permit = await served(gate, patient)
                await asyncio.sleep(0.002)
                permit.confirm(0)

        await asyncio.gather(impatient(), steady())
        await asyncio.gather(late(), steady())
    for who in (hasty, patient):
        found = state(redis_url, who.subject)
        assert (found[b"slots"], found[b"held"]) == (b"0", b"0")
    assert state(redis_url, patient.subject)[b"mu"] == b"300"


async def test_one_token_subject_in_two_tenants_is_two_clients(redis_url: str) -> None:
    both = [
        Principal("token", f"t:{tenant}", tenant, "j:0123456789abcdef", "x", WIDE, ("predict",))
        for tenant in ("left", "right")
    ]
    async with opened(redis_url) as gate:
        for turn in range(400):
            permit = await served(gate, both[turn % 2])
            await asyncio.sleep(0)
            permit.confirm(0)
    for who in both:
        found = state(redis_url, who.subject)
        assert (found[b"mu"], found[b"slots"], found[b"held"]) == (b"200", b"0", b"0")


async def test_a_tenant_with_thousands_of_clients_is_served(redis_url: str) -> None:
    async with opened(redis_url) as gate:
        crowd = [
            Principal("token", "t:crowd", "crowd", f"j:{number:016x}", "x", WIDE, ("predict",))
            for number in range(5000)
        ]
        permits = await asyncio.gather(*(served(gate, who) for who in crowd))
        for permit in permits:
            permit.confirm(0)
        assert not gate.is_away
    found = state(redis_url, "t:crowd")
    assert (found[b"mu"], found[b"slots"], found[b"held"]) == (b"5000", b"0", b"0")


async def test_accounts_of_one_that_cannot_be_read_are_no_outage(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.set(layout.state("t:broken"), "no hash")
    async with opened(redis_url) as gate:
        with pytest.raises(AdmissionUnavailable):
            await served(gate, principal("broken", WIDE))
        assert not gate.is_away
        (await served(gate, principal("sound", WIDE))).confirm(0)


async def test_callers_that_are_gone_are_forgotten_in_small_steps(redis_url: str) -> None:
    limits = Limits(requests=30, window_s=60, burst=10, concurrency=2)
    async with opened(redis_url) as gate:
        for number in range(1000):
            who = f"a:10.0.{number // 250}.{number % 250}"
            nobody = Principal("anonymous", who, "", who, "anonymous", limits, ("predict",))
            (await served(gate, nobody)).refund()
        assert len(gate._pools) == 1000
        gate._pools.sweep(asyncio.get_running_loop().time() + 61)
        assert len(gate._pools) == 800
