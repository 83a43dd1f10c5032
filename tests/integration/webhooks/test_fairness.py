"""One slow receiver delays nobody else, and gets no more than one call at a time."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.setting_groups import WebhookSettings
from tests.integration.webhooks.house import Call, House, Receiver, accepts, stays, until


@pytest.fixture
def hooks() -> WebhookSettings:
    """Few calls in flight."""
    return WebhookSettings(timeout_s=0.5, in_flight=4, in_flight_per_tenant=2)


async def hangs(call: Call) -> bytes:
    """What a receiver answers that is too slow."""
    await asyncio.sleep(60)
    return b""


async def test_a_slow_receiver_holds_up_its_own_tenant_alone(
    house: House, receiver: Receiver
) -> None:
    receiver.behave["/slow"] = hangs
    await house.endpoint("slow", receiver.url("/slow"))
    await house.endpoint("quick", receiver.url("/quick"))
    for _ in range(40):
        await house.ends("slow")
    async with house.dispatcher():
        await until(lambda: receiver.got("/slow"))
        for count in range(1, 21):
            await house.ends("quick")
            await until(lambda count=count: len(receiver.got("/quick")) == count)
        assert len(receiver.got("/slow")) < 20
    assert receiver.most_open["/slow"] <= 2


async def test_a_receiver_that_timed_out_gets_one_call_at_a_time(
    house: House, receiver: Receiver
) -> None:
    receiver.behave["/slow"] = hangs
    await house.endpoint("acme", receiver.url("/slow"))
    await house.endpoint("acme", receiver.url("/quick"))
    async with house.dispatcher(), house.dispatcher():
        job = await house.ends("acme")
        await until(lambda: receiver.got("/slow"))
        await house.rests("acme", receiver.got("/slow")[0].id)
        receiver.most_open.clear()
        for _ in range(10):
            await house.ends("acme")
        await until(lambda: len(receiver.got("/quick")) == 11)
        await until(lambda: len(receiver.got("/slow")) >= 3)
        assert receiver.most_open["/slow"] == 1
        receiver.behave["/slow"] = accepts
        await until(lambda: len({call.id for call in receiver.got("/slow")}) == 11)
        house.forward(10)
        await until(lambda: [call.job for call in receiver.got("/slow")].count(job) == 2)


async def test_tenants_take_turns(house: House, receiver: Receiver) -> None:
    """What one tenant has lying does not stand before what another's gets later."""
    order: list[str] = []

    async def notes(call: Call) -> bytes:
        order.append(call.path)
        await asyncio.sleep(0.02)
        return await accepts(call)

    for tenant in ("many", "few"):
        receiver.behave[f"/{tenant}"] = notes
        await house.endpoint(tenant, receiver.url(f"/{tenant}"))
    for _ in range(60):
        await house.ends("many")
    for _ in range(5):
        await house.ends("few")
    async with house.dispatcher():
        await until(lambda: len(order) == 65)
    assert order.index("/few") < 40
    last = max(place for place, path in enumerate(order) if path == "/few")
    assert last - order.index("/few") <= 20


async def test_slow_receivers_of_one_tenant_leave_the_others_of_it_alone(
    house: House, receiver: Receiver
) -> None:
    """A job's own address is told apart by its origin, so a slow one parks no endpoint."""
    receiver.behave["/slow"] = hangs
    await house.endpoint("acme", receiver.url("/quick"))
    async with house.dispatcher():
        for _ in range(6):
            await house.ends("acme", url=receiver.url("/slow"))
        await until(lambda: len(receiver.got("/quick")) == 6)
        await stays(lambda: receiver.open_now.get("/slow", 0) <= 2)
