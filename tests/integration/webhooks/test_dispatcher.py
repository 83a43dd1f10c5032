"""From an end in the outbox to a receiver that verifies it with the official library."""

from __future__ import annotations

from functools import partial
from math import ceil

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from control_plane.webhooks.schedule import DELAYS_S, JITTER
from control_plane.webhooks.shapes import Event, Status
from tests.integration.webhooks.house import BY, House, Receiver, answers, stays, until


async def test_an_end_is_told_signed_and_once(house: House, receiver: Receiver) -> None:
    endpoint = await house.endpoint("acme", receiver.url())
    (secret,) = await house.secrets(endpoint)
    async with house.dispatcher(), house.dispatcher():
        job = await house.ends("acme")
        await until(receiver.got)
        await stays(lambda: len(receiver.got()) == 1)
    call = receiver.got()[0]
    told = Webhook(secret).verify(call.body, call.headers)
    assert told["type"] == "job.completed"
    assert told["timestamp"] == "2026-09-21T14:13:20.001Z"
    assert told["data"]["job_id"] == job
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(call.body, call.headers)
    assert not await house.server.xlen("tg:{jobs}:outbox")
    found = await house.rests("acme", call.id)
    assert found.status is Status.SUCCEEDED
    assert [attempt.status for attempt in found.log] == [204]


async def test_only_what_an_endpoint_asked_for_is_told(house: House, receiver: Receiver) -> None:
    await house.endpoint("acme", receiver.url("/failed"), events=(Event.FAILED,))
    await house.endpoint("acme", receiver.url("/off"), enabled=False)
    await house.endpoint("other", receiver.url("/other"))
    await house.endpoint("acme", receiver.url("/all"))
    async with house.dispatcher():
        for state in ("completed", "failed", "canceled", "expired"):
            await house.ends("acme", state)
        await until(lambda: len(receiver.got("/all")) == 4 and receiver.got("/failed"))
        await stays(lambda: len(receiver.calls) == 5)
    kinds = {msgspec.json.decode(call.body)["type"] for call in receiver.got("/all")}
    assert kinds == set(Event)


async def test_a_jobs_own_address_is_signed_with_the_tenants_secret(
    house: House, receiver: Receiver
) -> None:
    async with house.dispatcher():
        await house.ends("acme", url=receiver.url("/own"))
        await until(lambda: receiver.got("/own"))
    secret = await house.endpoints.default("acme")
    call = receiver.got("/own")[0]
    Webhook(house.endpoints.opened(secret, 0)[0]).verify(call.body, call.headers)
    assert (await house.deliveries.read("acme", call.id)).endpoint is None


async def test_while_a_rotation_overlaps_both_secrets_verify(
    house: House, receiver: Receiver
) -> None:
    endpoint = await house.endpoint("acme", receiver.url())
    (old,) = await house.secrets(endpoint)
    await house.endpoints.rotate("acme", endpoint.id, 3600, BY)
    latest, also = await house.secrets(endpoint)
    assert also == old
    async with house.dispatcher():
        await house.ends("acme")
        await until(receiver.got)
        await house.endpoints.rotate("acme", endpoint.id, 0, BY)
        await house.ends("acme")
        await until(lambda: len(receiver.got()) == 2)
    first, second = receiver.got()
    for secret in (latest, old):
        Webhook(secret).verify(first.body, first.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(second.body, second.headers)
    (only,) = await house.secrets(endpoint)
    Webhook(only).verify(second.body, second.headers)


LONGEST_S = (0, *(ceil(seconds * (1 + JITTER)) + 3 for seconds in DELAYS_S[1:]))
"""Seconds before each attempt, with all jitter."""


def got(receiver: Receiver, count: int) -> bool:
    """True if so many calls came."""
    return len(receiver.got()) == count


async def test_what_fails_is_sent_again_byte_by_byte_on_the_schedule(
    house: House, receiver: Receiver
) -> None:
    endpoint = await house.endpoint("acme", receiver.url())
    (secret,) = await house.secrets(endpoint)
    receiver.behave["/hook"] = answers(500)
    async with house.dispatcher():
        await house.ends("acme")
        for count, seconds in enumerate(LONGEST_S):
            house.forward(seconds * 3 // 4 - 2 if count else 0)
            await stays(partial(got, receiver, count), 0.4 if count else 0)
            house.forward(seconds // 4 + 3)
            await until(partial(got, receiver, count + 1))
            await house.rests("acme", receiver.got()[0].id)
        house.forward(1_000_000)
        await stays(lambda: len(receiver.got()) == 10)
        calls = receiver.got()
        assert len({(call.id, call.body) for call in calls}) == 1
        for call in calls:
            Webhook(secret).verify(call.body, call.headers)
        failed = await house.deliveries.read("acme", calls[0].id)
        assert failed.status is Status.FAILED
        assert [attempt.error for attempt in failed.log] == ["status_500"] * 10
        receiver.behave.clear()
        again = await house.deliveries.redeliver("acme", calls[0].id)
        assert (again.id, again.status) == (calls[0].id, Status.WAITING)
        await until(lambda: len(receiver.got()) == 11)
    assert (receiver.got()[10].id, receiver.got()[10].body) == (calls[0].id, calls[0].body)


async def test_a_receiver_that_is_gone_is_disabled(house: House, receiver: Receiver) -> None:
    endpoint = await house.endpoint("acme", receiver.url())
    receiver.behave["/hook"] = answers(410)
    receiver.behave["/own"] = answers(410)
    async with house.dispatcher():
        await house.ends("acme", url=receiver.url("/own"))
        await until(lambda: len(receiver.calls) == 2)
        for call in tuple(receiver.calls):
            assert (await house.rests("acme", call.id)).status is Status.FAILED
        await house.ends("acme")
        await stays(lambda: len(receiver.calls) == 2)
    found = await house.endpoints.read("acme", endpoint.id)
    assert (found.enabled, found.gone) == (False, True)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_may_ask_for_a_longer_wait(
    house: House, receiver: Receiver, status: int
) -> None:
    await house.endpoint("acme", receiver.url())
    receiver.behave["/hook"] = answers(status, "Retry-After: 1800\r\n")
    async with house.dispatcher():
        await house.ends("acme")
        await until(receiver.got)
        await house.rests("acme", receiver.got()[0].id)
        house.forward(1500)
        await stays(lambda: len(receiver.got()) == 1)
        house.forward(400)
        await until(lambda: len(receiver.got()) == 2)


async def test_a_redirect_is_not_followed(house: House, receiver: Receiver) -> None:
    await house.endpoint("acme", receiver.url())
    receiver.behave["/hook"] = answers(307, f"Location: {receiver.url('/there')}\r\n")
    async with house.dispatcher():
        await house.ends("acme")
        await until(receiver.got)
        await stays(lambda: not receiver.got("/there"))
    found = await house.rests("acme", receiver.got()[0].id)
    assert (found.status, found.log[0].error) == (Status.WAITING, "status_307")
