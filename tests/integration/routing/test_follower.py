"""States as a process knows them: current within a second, and kept while the server is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.records.transaction import Actor
from control_plane.routing import follower as module
from control_plane.routing import layout
from control_plane.routing.decisions import lives
from control_plane.routing.decisions.decided import Decided
from control_plane.routing.follower import Follower
from control_plane.routing.seeding import Seen
from control_plane.routing.state import ModelState
from control_plane.routing.store import ModelStore
from tests.integration.admission.conftest import counter_process, free_port

PATIENCE_S = 30.0
ME = Actor("k:aaaaaaaaaaaa")
FILES = {"v1.0.0": Seen("stable"), "v2.0.0": Seen("experimental")}


def found(_: ModelState | None) -> Mapping[str, Seen]:
    return FILES


def aliased(name: str) -> Callable[[ModelState], Decided]:
    return lambda state: lives.put_alias(state, name, "v1.0.0")


class Heard:
    """A follower, what it told, and a store that changes what it follows."""

    def __init__(self, records: redis.Redis, writer: redis.Redis) -> None:
        self.told: list[dict[str, ModelState]] = []
        self.at: dict[tuple[str, int], float] = {}
        self.refreshes = 0
        self.follower = Follower(records, self._changed, self._refreshed)
        self.server = writer
        self.store = ModelStore(writer)

    def _changed(self, states: Mapping[str, ModelState]) -> None:
        self.told.append(dict(states))
        for state in states.values():
            self.at.setdefault((state.name, state.revision), time.monotonic())

    def _refreshed(self) -> None:
        self.refreshes += 1

    def knows(self, name: str, revision: int) -> bool:
        state = self.follower.states.get(name)
        return state is not None and state.revision >= revision


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Heard]:
    async with AsyncExitStack() as stack:
        reader, writer = client(url), client(url)
        stack.push_async_callback(reader.aclose)
        stack.push_async_callback(writer.aclose)
        heard = Heard(reader, writer)
        await heard.follower.start()
        stack.push_async_callback(heard.follower.close)
        yield heard


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.005)


async def test_what_is_there_is_known(redis_url: str, records: redis.Redis) -> None:
    store = ModelStore(records)
    first = await store.seen("house", found)
    other = await store.seen("wine", found)
    async with opened(redis_url) as heard:
        await until(lambda: heard.follower.is_known)
        assert heard.follower.states == {"house": first, "wine": other}
        assert heard.told[0] == heard.follower.states


async def test_that_nothing_is_there_is_known_and_told(redis_url: str) -> None:
    async with opened(redis_url) as heard:
        await until(lambda: heard.follower.is_known)
        assert heard.told == [{}]
        assert heard.refreshes == 0


async def test_changes_arrive_within_a_second(redis_url: str) -> None:
    """Of many changes nine in ten do on any machine; a read every ten seconds would not do it."""
    async with opened(redis_url) as heard:
        await until(lambda: heard.follower.is_known)
        await heard.store.seen("house", found)
        late = 0
        for number in range(40):
            state = await heard.store.change("house", aliased(f"a{number}"), ME)
            made = time.monotonic()
            revision = state.revision
            await until(lambda revision=revision: heard.knows("house", revision))  # type: ignore[misc]
            late += heard.at[("house", revision)] - made > 1.0
        assert late <= 4
        assert [told["house"].revision for told in heard.told[1:]] == sorted(
            told["house"].revision for told in heard.told[1:]
        )


async def test_a_storm_of_changes_ends_in_the_latest(redis_url: str) -> None:
    async with opened(redis_url) as heard:
        await until(lambda: heard.follower.is_known)
        names = [f"m{number}" for number in range(4)]
        for name in names:
            await heard.store.seen(name, found)
        await asyncio.gather(*(
            heard.store.change(name, aliased(f"a{number}"), ME)
            for name in names for number in range(10)
        ))  # fmt: skip
        await until(lambda: all(heard.knows(name, 11) for name in names))
        assert list(heard.follower.states.values()) == await heard.store.all()


async def test_a_refresh_is_told_once_in_every_process(redis_url: str) -> None:
    async with opened(redis_url) as one, opened(redis_url) as other:
        await until(lambda: one.follower.is_known and other.follower.is_known)
        for number in range(1, 4):
            await one.store.refresh(ME)
            await until(lambda number=number: one.refreshes == other.refreshes == number)  # type: ignore[misc]


async def test_refreshes_before_the_first_reading_are_not_told(
    redis_url: str, records: redis.Redis
) -> None:
    await ModelStore(records).refresh(ME)
    async with opened(redis_url) as heard:
        await until(lambda: heard.follower.is_known)
        await heard.store.refresh(ME)
        await until(lambda: heard.refreshes == 1)


async def test_an_older_state_never_replaces_a_newer_one(redis_url: str) -> None:
    async with opened(redis_url) as heard:
        first = await heard.store.seen("house", found)
        latest = await heard.store.change("house", aliased("blue"), ME)
        await until(lambda: heard.knows("house", 2))
        await heard.server.set(layout.model_record("house"), msgspec.json.encode(first))
        await heard.server.publish("tg:{records}:changes", "model:house")
        await heard.store.seen("wine", found)
        await until(lambda: heard.knows("wine", 1))
        assert heard.follower.states["house"] == latest


async def test_a_record_that_is_broken_spoils_no_other(redis_url: str) -> None:
    async with opened(redis_url) as heard:
        first = await heard.store.seen("house", found)
        await until(lambda: heard.knows("house", 1))
        await heard.server.set(layout.model_record("house"), "{")
        await heard.server.publish("tg:{records}:changes", "model:house")
        await heard.store.seen("wine", found)
        await heard.store.refresh(ME)
        await until(lambda: heard.refreshes == 1)
        assert heard.follower.states["house"] == first
        assert "wine" in heard.follower.states


async def test_what_was_not_told_is_read_in_the_end(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_ALL_S", 0.2)
    async with opened(redis_url) as heard:
        state = await heard.store.seen("house", found)
        await until(lambda: heard.knows("house", 1))
        assert state is not None
        later = msgspec.structs.replace(state, revision=7)
        await heard.server.set(layout.model_record("house"), msgspec.json.encode(later))
        await until(lambda: heard.knows("house", 7))


async def test_a_listener_that_fails_does_not_end_the_following(
    redis_url: str, records: redis.Redis
) -> None:
    told: list[int] = []

    def fails(states: Mapping[str, ModelState]) -> None:
        told.append(len(states))
        raise ValueError("cannot take it in")

    follower = Follower(records, fails, lambda: None)
    await follower.start()
    writer = client(redis_url)
    await ModelStore(writer).seen("house", found)
    await until(lambda: 1 in told)
    await ModelStore(writer).seen("wine", found)
    await until(lambda: 2 in told)
    await follower.close()
    await writer.aclose()


@pytest.mark.parametrize("kind", ["valkey", "redis-server"])
async def test_with_the_server_away_what_is_known_stays(kind: str, tmp_path: Path) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        with counter_process(kind, tmp_path, port):
            heard = await stack.enter_async_context(opened(f"redis://127.0.0.1:{port}/0"))
            known = await heard.store.seen("house", found)
            await until(lambda: heard.knows("house", 1))
        await asyncio.sleep(2 * module.RETRY_S)
        assert heard.follower.is_known
        assert heard.follower.states == {"house": known}
        with counter_process(kind, tmp_path, port):
            await ModelStore(heard.server).seen("wine", found)
            await until(lambda: heard.knows("wine", 1))
            assert heard.follower.states["house"] == known


async def test_a_process_may_start_before_the_server(tmp_path: Path) -> None:
    port = free_port()
    async with opened(f"redis://127.0.0.1:{port}/0") as heard:
        heard.follower.seed({"house": found})
        await asyncio.sleep(2 * module.RETRY_S)
        assert (heard.follower.is_known, heard.told) == (False, [])
        with counter_process("valkey", tmp_path, port):
            await until(lambda: heard.knows("house", 1))
            assert heard.follower.is_known


async def test_many_processes_seed_and_one_writes(redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        all_heard = [await stack.enter_async_context(opened(redis_url)) for _ in range(6)]
        for heard in all_heard:
            heard.follower.seed({"house": found, "wine": found})
        for heard in all_heard:
            await until(lambda heard=heard: heard.knows("house", 1) and heard.knows("wine", 1))  # type: ignore[misc]
        assert {state.revision for state in await all_heard[0].store.all()} == {1}


async def test_what_is_seeded_later_is_compared_with_the_state_of_then(redis_url: str) -> None:
    async with opened(redis_url) as heard:
        heard.follower.seed({"house": found})
        await until(lambda: heard.knows("house", 1))

        def more(state: ModelState | None) -> Mapping[str, Seen]:
            assert state is not None
            return {**FILES, "v3.0.0": Seen("stable", (f"breaks {state.stable}",))}

        def fails(_: ModelState | None) -> Mapping[str, Seen]:
            raise ValueError("these files cannot be compared")

        seeds: dict[str, Any] = {"broken": fails, "house": more}
        heard.follower.seed(seeds)
        await until(lambda: heard.knows("house", 2))
        assert "breaks v1.0.0" in heard.follower.states["house"].versions["v3.0.0"].note


async def test_it_closes_at_any_moment(redis_url: str) -> None:
    """Also while its client waits for a step that is just done, which hides a cancellation."""
    async with opened(redis_url) as heard:
        await heard.store.seen("house", found)
        for turns in range(80):
            follower = Follower(heard.server, lambda _: None, lambda: None)
            await follower.start()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await follower.close()
