"""The store on a real server: races, atomic steps, what it tells, and the server away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.admission import layout
from control_plane.admission.accounts import decisions
from control_plane.admission.accounts.shapes import STANDARD_TIERS, ApiKey, Limits, Tenant, Tier
from control_plane.admission.accounts.store import Store
from control_plane.errors import AdmissionUnavailable, Forbidden, TidegateError
from control_plane.records import places
from control_plane.records.audit import AuditFilter, AuditLog
from control_plane.records.server import RecordServer
from control_plane.records.transaction import Actor, Moved
from tests.integration.admission.conftest import counter_process, free_port

ME = Actor("k:aaaaaaaaaaaa", "req_1")
TIER = Tier(name="small", limits=Limits(requests=1, burst=1, concurrency=1))
KEY = ApiKey(id="a" * 12, tenant="acme", digests=("00",))


@pytest.fixture
async def store(records: redis.Redis) -> Store:
    """A store with one tier."""
    made = Store(records)
    await made.create_tier(TIER, ME)
    return made


async def outcome(step: Awaitable[Any]) -> str:
    """``ok``, or the code of the error."""
    try:
        await step
    except TidegateError as error:
        return error.code
    return "ok"


def longer(tenant: Tenant) -> Tenant:
    return msgspec.structs.replace(tenant, title=tenant.title + "x")


async def test_no_change_is_lost(store: Store, records: redis.Redis) -> None:
    await store.create_tenant(Tenant(id="acme", tier="small"), ME)

    async def patch() -> None:
        for _ in range(12):
            await store.change_tenant("acme", longer, ME)

    await asyncio.gather(*(patch() for _ in range(8)))
    tenant = await store.tenant("acme")
    assert (len(tenant.title), tenant.revision) == (96, 97)
    page = await AuditLog(records).page(AuditFilter(target="tenant:acme"), None, 200)
    revisions = [entry.after["revision"] for entry in page.items]
    assert revisions == list(range(97, 0, -1))


async def test_at_one_revision_one_change_is_made(store: Store) -> None:
    await store.create_tenant(Tenant(id="acme", tier="small"), ME)
    patches = (store.change_tenant("acme", longer, ME, 1) for _ in range(8))
    found = sorted(await asyncio.gather(*map(outcome, patches)))
    assert found == ["REVISION_CONFLICT"] * 7 + ["ok"]
    assert (await store.tenant("acme")).title == "x"


async def test_of_eight_that_make_one_id_one_does(store: Store) -> None:
    made = (store.create_tenant(Tenant(id="acme", tier="small"), ME) for _ in range(8))
    assert sorted(await asyncio.gather(*map(outcome, made))) == ["ALREADY_EXISTS"] * 7 + ["ok"]


@pytest.mark.parametrize("attempt", range(5))
async def test_a_tier_never_goes_from_under_a_tenant(
    store: Store, records: redis.Redis, attempt: int
) -> None:
    del attempt
    steps = [store.create_tenant(Tenant(id=f"t{n}", tier="small"), ME) for n in range(4)]
    steps.insert(2, store.delete_tier("small", ME))  # type: ignore[arg-type]
    await asyncio.gather(*map(outcome, steps))
    tenants = (await store.tenants(None, 10)).items
    has_tier = await outcome(store.tier("small")) == "ok"
    assert has_tier or not tenants
    in_use: Any = await records.smembers(layout.tier_tenants("small"))
    assert in_use == {tenant.id.encode() for tenant in tenants}


@pytest.mark.parametrize("attempt", range(5))
async def test_no_key_outlives_its_tenant(store: Store, records: redis.Redis, attempt: int) -> None:
    del attempt
    await store.create_tenant(Tenant(id="acme", tier="small"), ME)
    steps: list[Awaitable[Any]] = [
        store.create_key(msgspec.structs.replace(KEY, id=letter * 12), ME) for letter in "abcdef"
    ]
    steps.insert(3, store.delete_tenant("acme", ME))
    assert "ok" in await asyncio.gather(*map(outcome, steps))
    assert await outcome(store.tenant("acme")) == "NOT_FOUND"
    assert await records.keys("tg:{records}:key*") == []
    assert await records.smembers(layout.CLOSED) == {b"acme"}


async def test_a_tenant_goes_only_with_all_its_keys_as_they_are(
    store: Store, records: redis.Redis
) -> None:
    tenant = await store.create_tenant(Tenant(id="acme", tier="small"), ME)
    await store.create_key(KEY, ME)
    server = RecordServer(records)
    for seen in ([], [msgspec.structs.replace(KEY, revision=7)]):
        with pytest.raises(Moved):
            await server.commit(decisions.tenant_deleted(tenant, seen), ME)
    assert await outcome(store.key(KEY.id)) == "ok"
    assert await outcome(store.tenant("acme")) == "ok"


async def test_every_change_is_told(store: Store, records: redis.Redis) -> None:
    channel = records.pubsub()
    await channel.subscribe(places.CHANGES)
    await channel.get_message(timeout=60)
    await store.create_tenant(Tenant(id="acme", tier="small"), ME)
    await store.create_key(KEY, ME)
    await store.change_tier("small", lambda tier: msgspec.structs.replace(tier, unit_price=9), ME)
    await store.delete_tenant("acme", ME)
    expected = ["tenant:acme", "key:aaaaaaaaaaaa", "tier:small", "key:aaaaaaaaaaaa", "tenant:acme"]
    heard: list[str] = []
    while len(heard) < len(expected):
        message = await channel.get_message(ignore_subscribe_messages=True, timeout=60)
        assert message is not None, heard
        heard.append(message["data"].decode())
    await channel.aclose()  # type: ignore[no-untyped-call]
    assert heard == expected


async def test_standard_tiers_are_made_where_there_are_none(records: redis.Redis) -> None:
    store = Store(records)
    await asyncio.gather(*(store.ensure_standard_tiers() for _ in range(4)))
    page = await store.tiers(None, 200)
    assert {tier.name for tier in page.items} == {tier.name for tier in STANDARD_TIERS}
    assert {tier.revision for tier in page.items} == {1}
    await store.delete_tier("free", ME)
    await store.ensure_standard_tiers()
    assert await outcome(store.tier("free")) == "NOT_FOUND"


async def test_a_tenant_is_provisioned_once(store: Store) -> None:
    made = await asyncio.gather(*(store.provision("acme", "small") for _ in range(8)))
    assert {tenant.revision for tenant in made} == {1}
    moved = await store.provision("acme", "another")
    assert moved.tier == "small"


async def test_what_cannot_be_provisioned_is_forbidden(store: Store) -> None:
    with pytest.raises(Forbidden):
        await store.provision("other", "nothing")
    await store.provision("acme", "small")
    await store.delete_tenant("acme", ME)
    with pytest.raises(Forbidden):
        await store.provision("acme", "small")


async def test_a_filter_that_fits_few_gives_short_pages(records: redis.Redis) -> None:
    fields = {"who": "k:x", "action": "a", "target": "t:x", "before": "null", "after": "null",
              "request_id": ""}  # fmt: skip
    pipe = records.pipeline(transaction=False)
    for number in range(10_600):
        target = "t:rare" if number % 5000 == 0 else "t:x"
        pipe.xadd(places.AUDIT, {**fields, "target": target})  # type: ignore[dict-item]
    await pipe.execute()
    log, wanted = AuditLog(records), AuditFilter(target="t:rare")
    first = await log.page(wanted, None, 50)
    assert len(first.items) == 2
    assert first.next is not None
    second = await log.page(wanted, first.next, 50)
    assert len(second.items) == 1
    assert second.next is None


STEPS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "read": lambda store: store.tier("small"),
    "list": lambda store: store.tenants(None, 10),
    "make": lambda store: store.create_tier(TIER, ME),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_hung", [True, False])
async def test_a_server_that_is_away_is_503(tmp_path: Path, step: str, *, is_hung: bool) -> None:
    port = free_port()
    with counter_process("valkey", tmp_path, port) as server:
        client = redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=None)
        await client.ping()
        server.send_signal(signal.SIGSTOP if is_hung else signal.SIGKILL)
        if not is_hung:
            server.wait()
        with pytest.raises(AdmissionUnavailable) as caught:
            await STEPS[step](Store(client))
        await client.aclose()
    assert caught.value.status == 503
    assert caught.value.headers == {"retry-after": "1"}


@pytest.mark.parametrize("kind", ["valkey", "redis-server"])
async def test_what_is_read_survives_a_restart_of_the_server(kind: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    server = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
    store, audit = Store(server), AuditLog(server)
    with counter_process(kind, tmp_path, port):
        await asyncio.gather(*(store.tiers(None, 10) for _ in range(5)))
    with counter_process(kind, tmp_path, port):
        assert await outcome(store.tier("small")) == "NOT_FOUND"
    with counter_process(kind, tmp_path, port):
        assert (await audit.page(AuditFilter(), None, 10)).items == []
    with counter_process(kind, tmp_path, port):
        assert (await store.tiers(None, 10)).items == []
    assert await outcome(store.tier("small")) == "ADMISSION_UNAVAILABLE"
    await server.aclose()
