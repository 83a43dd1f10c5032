"""Endpoints are records: counted, audited, of one tenant; nothing secret lies in the clear."""

from __future__ import annotations

import asyncio
import logging

import pytest
import redis.asyncio as redis

from control_plane.errors import TidegateError
from control_plane.records.audit import AuditFilter, AuditLog
from control_plane.setting_groups import WebhookSettings
from control_plane.webhooks.deliveries import DeliveryFilter
from control_plane.webhooks.endpoints import Draft
from control_plane.webhooks.shapes import Status
from tests.integration.webhooks.house import BY, House, Receiver, answers, until


@pytest.fixture
def hooks() -> WebhookSettings:
    """Few endpoints."""
    return WebhookSettings(timeout_s=1.0, endpoints_per_tenant=3, kept_s=3600)


async def test_a_tenant_has_no_more_than_it_may(house: House) -> None:
    async def make() -> str:
        try:
            return (await house.endpoint("acme", "https://example.com/")).id
        except TidegateError as error:
            return error.code

    made = await asyncio.gather(*(make() for _ in range(8)))
    assert made.count("TOO_MANY_OPEN") == 5
    assert len(await house.endpoints.all("acme")) == 3
    await house.endpoint("other", "https://example.com/")


async def test_what_is_anothers_is_not_there(house: House) -> None:
    own = await house.endpoint("acme", "https://example.com/")
    for step in (
        house.endpoints.read("other", own.id),
        house.endpoints.delete("other", own.id, BY),
        house.endpoints.rotate("other", own.id, 0, BY),
        house.endpoints.change("other", own.id, lambda draft: draft, BY),
        house.endpoints.read("acme", "we_" + "0" * 24),
        house.endpoints.read("acme", "nonsense"),
        house.deliveries.read("acme", "nonsense"),
        house.deliveries.redeliver("acme", "msg_" + "0" * 32 + "_" + "0" * 12),
    ):
        with pytest.raises(TidegateError) as caught:
            await step
        assert caught.value.code == "NOT_FOUND"
    assert await house.endpoints.read("acme", own.id) == own


async def test_every_change_is_audited_without_what_is_sealed(house: House) -> None:
    made = await house.endpoint("acme", "https://example.com/token-in-path")
    draft = Draft(url="https://example.org/", description="ours")
    await house.endpoints.change("acme", made.id, lambda _: draft, BY)
    await house.endpoints.rotate("acme", made.id, 60, BY)
    await house.endpoints.disable("acme", made.id)
    await house.endpoints.delete("acme", made.id, BY)
    page = await AuditLog(house.server).page(AuditFilter(target=f"webhook:{made.id}"), None, 50)
    actions = [entry.action for entry in reversed(page.items)]
    names = ["create", "patch", "rotate", "disable", "delete"]
    assert actions == [f"webhook.{name}" for name in names]
    assert {entry.who for entry in page.items} == {BY.who, "system"}
    hosts = [entry.after["host"] for entry in reversed(page.items) if entry.after]
    assert hosts == ["example.com", *["example.org"] * 3]
    for entry in page.items:
        for shown in (entry.before, entry.after):
            assert shown is None or (shown["secrets"], shown["url"]) == ([], "")


async def test_the_default_secret_is_one_however_many_ask_first(house: House) -> None:
    found = await asyncio.gather(*(house.endpoints.default("acme") for _ in range(8)))
    assert len({house.endpoints.opened(each, 0)[0] for each in found}) == 1
    rotated = await house.endpoints.rotate_default("acme", 60, BY)
    opened = house.endpoints.opened(rotated, rotated.secret_until - 1)
    assert opened[1] == house.endpoints.opened(found[0], 0)[0]
    assert house.endpoints.opened(rotated, rotated.secret_until) == opened[:1]


async def test_nothing_secret_lies_in_the_clear_nor_in_the_log(
    house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="control_plane")
    endpoint = await house.endpoint("acme", receiver.url("/path-that-is-secret"))
    receiver.behave["/own-secret-path"] = answers(410)
    async with house.dispatcher():
        await house.ends("acme", url=receiver.url("/own-secret-path"))
        await until(lambda: len(receiver.calls) == 2)
        for call in tuple(receiver.calls):
            await house.rests("acme", call.id)
    secrets = await house.secrets(endpoint)
    secrets += house.endpoints.opened(await house.endpoints.default("acme"), 0)
    hidden = [*secrets, *(secret.removeprefix("whsec_") for secret in secrets), "secret-path",
              "path-that-is-secret", '"job.completed"']  # fmt: skip
    kept = await _everything(house.server)
    log = "".join(str(vars(record)) for record in caplog.records)
    assert endpoint.id in kept
    for text in hidden:
        assert text not in kept
        assert text not in log


async def test_deliveries_are_listed_in_pages_and_forgotten(
    house: House, receiver: Receiver
) -> None:
    first = await house.endpoint("acme", receiver.url("/a"))
    await house.endpoint("acme", receiver.url("/b"))
    receiver.behave["/b"] = answers(410)
    async with house.dispatcher():
        jobs = [await house.ends("acme") for _ in range(5)]
        await until(lambda: len(receiver.got("/a")) == 5 and receiver.got("/b"))
        for call in receiver.got("/a"):
            await house.rests("acme", call.id)
        everything = DeliveryFilter()
        page = await house.deliveries.page("acme", everything, None, 4)
        rest = await house.deliveries.page("acme", everything, page.next, 50)
        assert [each.job for each in (*page.items, *rest.items)] == sorted(jobs * 2, reverse=True)
        assert rest.next is None
        of_first = DeliveryFilter(endpoint=first.id, status=Status.SUCCEEDED)
        assert len((await house.deliveries.page("acme", of_first, None, 50)).items) == 5
        assert not (await house.deliveries.page("other", everything, None, 50)).items
        house.forward(3590)
        assert await house.deliveries.forget() == 0
        house.forward(11)
        while await house.deliveries.forget():
            pass
        assert not (await house.deliveries.page("acme", of_first, None, 50)).items
    keys = {key.decode() async for key in house.server.scan_iter("tg:{hooks}:*")}
    ended = {call.id for call in receiver.got("/a")}
    assert not [key for key in keys if any(name in key for name in ended)]


async def _everything(server: redis.Redis) -> str:
    """All keys and values of a server, as text."""
    parts = []
    async for key in server.scan_iter("*"):
        parts += [key, await server.dump(key) or b""]
    return repr(parts)
