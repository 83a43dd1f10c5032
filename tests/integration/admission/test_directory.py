"""The cache of records: current while changes are heard, stale for a minute at most."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.admission import layout
from control_plane.admission.accounts.shapes import STANDARD_TIERS, ApiKey, Tenant
from control_plane.admission.identity import apikeys
from control_plane.admission.identity import directory as module
from control_plane.admission.identity.address import Addresses
from control_plane.admission.identity.directory import Directory
from control_plane.admission.identity.identity import Hooks, Identity
from control_plane.admission.identity.tokens import Tokens
from control_plane.errors import AdmissionUnavailable, Unauthenticated
from control_plane.records import places
from tests.integration.admission.conftest import await_answer, counter_process, free_port

PATIENCE_S = 30.0
PEPPER = "p" * 32
ACME = Tenant(id="acme", tier="free")


class Records:
    """What an operator writes, with or without telling."""

    def __init__(self, server: redis.Redis) -> None:
        self.server = server

    async def put(self, tenant: Tenant, *, tell: bool = True) -> None:
        await self.server.set(layout.tenant_record(tenant.id), msgspec.json.encode(tenant))
        if tell:
            await self.server.publish(places.CHANGES, f"tenant:{tenant.id}")

    async def put_key(self, key: ApiKey) -> None:
        await self.server.set(layout.key_record(key.id), msgspec.json.encode(key))
        await self.server.publish(places.CHANGES, f"key:{key.id}")

    async def reads(self) -> int:
        stats = await self.server.info("commandstats")
        return int(stats.get("cmdstat_mget", {}).get("calls", 0))


@asynccontextmanager
async def opened(url: str, *, listen: bool = True) -> AsyncIterator[tuple[Directory, Records]]:
    async with AsyncExitStack() as stack:
        server = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        stack.push_async_callback(server.aclose)
        directory = Directory(server)
        if listen:
            await directory.start()
            await until(lambda: directory.is_proven)
        stack.push_async_callback(directory.close)
        yield directory, Records(server)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.01)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[tuple[str, Any, Path]]:
    """A server that the test may stop, kill and start again: URL, process, folder."""
    port = free_port()
    with counter_process("valkey", tmp_path, port) as process:
        yield f"redis://127.0.0.1:{port}/0", process, tmp_path


async def test_records_are_read_and_kept(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        assert await directory.tenant("acme") == ACME
        assert await directory.key("a" * 12) is None
        assert await directory.tier("free") is None
        await until(lambda: directory.is_proven)
        before = await records.reads()
        assert await directory.tenant("acme") == ACME
        assert await directory.key("a" * 12) is None
        assert await records.reads() == before


async def test_a_record_is_kept_for_long_while_changes_are_heard(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        await asyncio.sleep(2 * module.TRUST_S)
        await until(lambda: directory.is_proven)
        before = await records.reads()
        assert await directory.tenant("acme") == ACME
        assert await records.reads() == before


async def test_look_ups_at_once_share_a_read(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        before = await records.reads()
        same = await asyncio.gather(*(directory.tenant("acme") for _ in range(200)))
        assert same == [ACME] * 200
        assert await records.reads() == before + 1


async def test_reads_of_one_moment_travel_together(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        before = await records.reads()
        await asyncio.gather(*(directory.tenant(f"t{n}") for n in range(200)))
        assert await records.reads() == before + 1


async def test_no_more_than_a_thousand_reads(redis_url: str) -> None:
    async with opened(redis_url) as (directory, _):
        asked = (directory.tenant(f"t{n}") for n in range(module.MAX_READS + 500))
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in found if isinstance(one, AdmissionUnavailable)]
        assert len(refused) == 500
        assert found.count(None) == module.MAX_READS


async def test_a_change_is_pushed(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        epoch = directory.epoch
        suspended = msgspec.structs.replace(ACME, suspended=True)
        await records.put(suspended)
        await until(lambda: directory.epoch > epoch)
        assert await directory.tenant("acme") == suspended


async def test_a_record_that_appears_is_pushed(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        assert await directory.tenant("acme") is None
        epoch = directory.epoch
        await records.put(ACME)
        await until(lambda: directory.epoch > epoch)
        assert await directory.tenant("acme") == ACME


async def test_that_there_is_no_record_is_not_believed_for_long(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ABSENT_S", 0.2)
    async with opened(redis_url) as (directory, records):
        assert await directory.tenant("acme") is None
        await records.put(ACME, tell=False)

        async def appeared() -> bool:
            return await directory.tenant("acme") == ACME

        await until(appeared)


async def test_without_the_subscription_records_are_read_again(redis_url: str) -> None:
    async with opened(redis_url, listen=False) as (directory, records):
        await records.put(ACME, tell=False)
        assert await directory.tenant("acme") == ACME
        suspended = msgspec.structs.replace(ACME, suspended=True)
        await records.put(suspended)
        await asyncio.sleep(1.0)
        assert await directory.tenant("acme") == suspended
        assert not directory.is_proven


async def test_what_was_missed_while_the_subscription_was_broken_is_read(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        epoch = directory.epoch
        suspended = msgspec.structs.replace(ACME, suspended=True)
        assert await records.server.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1
        await records.put(suspended, tell=False)
        await until(lambda: directory.epoch > epoch and directory.is_proven)
        assert await directory.tenant("acme") == suspended


async def test_a_change_of_no_known_kind_drops_everything(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        epoch = directory.epoch
        suspended = msgspec.structs.replace(ACME, suspended=True)
        await records.put(suspended, tell=False)
        await records.server.publish(places.CHANGES, b"\xff unheard of")
        await until(lambda: directory.epoch > epoch)
        assert await directory.tenant("acme") == suspended


async def test_changes_of_other_rooms_cost_no_reads(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        await until(lambda: directory.is_proven)
        await directory.tenant("acme")
        epoch, reads = directory.epoch, await records.reads()
        await records.server.publish(places.CHANGES, "model:sentiment")
        suspended = msgspec.structs.replace(ACME, suspended=True)
        await records.put(suspended)
        await until(lambda: directory.epoch > epoch)
        assert directory.epoch == epoch + 1
        assert await directory.tenant("acme") == suspended
        assert await records.reads() == reads + 1


async def test_a_read_that_a_change_overtook_is_not_kept(redis_url: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.put(ACME, tell=False)
        reading = asyncio.create_task(directory.tenant("acme"))
        await asyncio.sleep(0)
        directory.forget("tenant:acme")
        await reading
        before = await records.reads()
        await directory.tenant("acme")
        assert await records.reads() == before + 1


@pytest.mark.parametrize("raw", ["{}", "null", "7", "{", '{"id":"acme","tier":7}', "\xff"])
async def test_what_is_no_record_is_not_used(redis_url: str, raw: str) -> None:
    async with opened(redis_url) as (directory, records):
        await records.server.set(layout.tenant_record("acme"), raw)
        with pytest.raises(AdmissionUnavailable):
            await directory.tenant("acme")
        await records.put(ACME, tell=False)

        async def mended() -> bool:
            return await directory.tenant("acme") == ACME

        await until(mended)


async def test_a_hung_server_is_survived_on_what_is_known(own_server: Any) -> None:
    url, process, _ = own_server
    async with opened(url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(module.TRUST_S)
        await until(lambda: not directory.is_proven)
        epoch = directory.epoch
        async with asyncio.timeout(PATIENCE_S):
            assert await directory.tenant("acme") == ACME
            assert directory.known_until("acme") > time.monotonic()
            assert directory.known_until("other") == 0.0
            with pytest.raises(AdmissionUnavailable):
                await directory.tenant("other")
        assert directory.epoch > epoch
        process.send_signal(signal.SIGCONT)
        await until(lambda: directory.is_proven)
        assert await directory.tenant("other") is None


async def test_what_is_known_ends_after_its_time(
    own_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALE_S", 1.5)
    url, process, _ = own_server
    async with opened(url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        process.send_signal(signal.SIGSTOP)

        async def refused() -> bool:
            try:
                await directory.tenant("acme")
            except AdmissionUnavailable:
                return True
            return False

        await until(refused)
        assert time.monotonic() >= directory.known_until("acme")


async def test_a_server_that_comes_back_is_found(own_server: Any) -> None:
    url, process, folder = own_server
    async with opened(url) as (directory, records):
        await records.put(ACME, tell=False)
        await directory.tenant("acme")
        process.kill()
        process.wait()
        await until(lambda: not directory.is_proven)
        assert await directory.tenant("acme") == ACME
        port = int(url.rpartition(":")[2].partition("/")[0])
        with counter_process("valkey", folder, port):
            await_answer(port)
            await until(lambda: directory.is_proven)

            async def read_again() -> bool:
                return await directory.tenant("acme") is None

            await until(read_again)


async def test_a_directory_starts_without_its_server() -> None:
    async with redis.Redis(port=free_port()) as server:
        directory = Directory(server)
        await directory.start()
        with pytest.raises(AdmissionUnavailable):
            await directory.tenant("acme")
        await directory.close()


async def test_a_revoked_key_ends(redis_url: str) -> None:
    text, key_id = apikeys.mint()
    key = ApiKey(id=key_id, tenant="acme", digests=(apikeys.digest(text, PEPPER),))
    headers, peer = {b"x-api-key": text.encode()}, ("192.0.2.1", 1)

    async def no_provision(_tenant: str, _tier: str) -> None:
        raise AssertionError

    async with opened(redis_url) as (directory, records), httpx.AsyncClient() as http:
        identity = Identity(
            directory,
            Tokens([], http),
            Addresses([]),
            Hooks(no_provision),
            key_pepper=PEPPER,
            bootstrap_admin_key=apikeys.mint()[0],
        )
        for tier in STANDARD_TIERS:
            await records.server.set(layout.tier_record(tier.name), msgspec.json.encode(tier))
        await records.put(ACME, tell=False)
        await records.put_key(key)

        async def remembered() -> bool:
            assert (await identity.resolve(headers, peer)).tenant == "acme"
            return identity.known(headers, peer) is not None

        await until(remembered)
        await records.put_key(msgspec.structs.replace(key, revoked_at=1, revision=2))
        await asyncio.sleep(1.0)
        assert identity.known(headers, peer) is None
        with pytest.raises(Unauthenticated):
            await identity.resolve(headers, peer)
        stored = await records.server.get(layout.key_record(key_id))
        assert text.encode() not in stored
