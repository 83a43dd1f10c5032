"""Lists of jobs in pages, and what is forgotten."""

from __future__ import annotations

import time

import pytest
import redis.asyncio as redis

from control_plane.errors import InvalidParameter
from control_plane.jobs import layout
from control_plane.jobs.identifiers import job_id
from control_plane.jobs.replies import JobQuery
from control_plane.jobs.shapes import State
from control_plane.jobs.store import JobStore
from tests.integration.jobs.submissions import asked, done, failed, kept, take

ALL = JobQuery()


async def listed(store: JobStore, query: JobQuery, limit: int, tenant: str = "acme") -> list[str]:
    """Every page, one after the other."""
    found: list[str] = []
    after = None
    while True:
        page = await store.page(tenant, query, after, limit)
        assert len(page.items) <= limit
        found += [job.id for job in page.items]
        after = page.next
        if after is None:
            return found


@pytest.fixture
async def lived(store: JobStore) -> dict[str, list[str]]:
    """Ids, the latest first, by what has become of the jobs."""
    names = await kept(store, *[asked(model=("wine", "iris")[n % 2]) for n in range(24)])
    await kept(store, *[asked("bolt") for _ in range(5)])
    claims = [claim for claim in await take(store, 20) if claim.job.tenant == "acme"]
    await store.finish([done(claim) for claim in claims[:6]])
    await store.finish([failed(claim) for claim in claims[6:8]])
    for name in names[-3:]:
        await store.cancel("acme", name)
    ids = {state: [n for n in reversed(names) if (await store.find(n)).state is state]
           for state in State}  # fmt: skip
    return {"all": names[::-1], **ids}


@pytest.mark.parametrize("limit", [1, 7, 24, 200])
async def test_pages_hold_every_job_once_the_latest_first(
    store: JobStore, lived: dict[str, list[str]], limit: int
) -> None:
    assert await listed(store, ALL, limit) == lived["all"]
    assert len(await listed(store, ALL, limit, "bolt")) == 5
    assert await listed(store, ALL, limit, "nobody") == []


@pytest.mark.parametrize("limit", [2, 200])
async def test_filters_by_state_and_model(
    store: JobStore, lived: dict[str, list[str]], limit: int
) -> None:
    of = {model: [name for name in lived["all"] if (await store.find(name)).model == model]
          for model in ("wine", "iris")}  # fmt: skip
    for state in State:
        assert await listed(store, JobQuery(state=state), limit) == lived[state]
        both = JobQuery(state=state, model="wine")
        assert await listed(store, both, limit) == [n for n in lived[state] if n in of["wine"]]
    for model, names in of.items():
        assert await listed(store, JobQuery(model=model), limit) == names
    assert await listed(store, JobQuery(model="none"), limit) == []


async def test_filters_by_time(store: JobStore) -> None:
    early, late = 1_700_000_000.0, 1_700_000_001.0
    names = await kept(store, *[asked(id=job_id(at)) for at in (early, late, late + 1)])
    after, before = int(late * 1000), int(late * 1000)
    assert await listed(store, JobQuery(after_ms=after), 1) == names[:0:-1]
    assert await listed(store, JobQuery(before_ms=before), 1) == names[:1]
    both = JobQuery(after_ms=after, before_ms=before + 1)
    assert await listed(store, both, 1) == [names[1]]
    assert await listed(store, JobQuery(after_ms=2**60, state=State.PENDING), 9) == []
    assert await listed(store, JobQuery(before_ms=-5), 9) == []


async def test_what_comes_meanwhile_neither_hides_nor_repeats(store: JobStore) -> None:
    names = await kept(store, *[asked() for _ in range(9)])
    first = await store.page("acme", ALL, None, 4)
    await kept(store, asked())
    [claim] = await take(store)
    await store.finish([done(claim)])
    second = await store.page("acme", ALL, first.next, 200)
    assert [job.id for job in first.items + second.items] == names[::-1]


@pytest.mark.parametrize("cursor", ["", "x", "am9i", "A" * 5000, "%"])
async def test_what_is_no_cursor_is_refused(store: JobStore, cursor: str) -> None:
    with pytest.raises(InvalidParameter):
        await store.page("acme", ALL, cursor, 5)


async def test_what_was_kept_long_enough_leaves_no_trace(
    store: JobStore, server: redis.Redis
) -> None:
    await kept(store, *[asked(units=0, hook="sealed", key=f"k{n}") for n in range(5)])
    await store.finish([done(claim, object_key=f"o/{n}")
                        for n, claim in enumerate(await take(store, 5))])  # fmt: skip
    assert await store.forgettable(9) == []
    now = 1000 * (await server.time())[0]
    members = await server.zrange(layout.KEPT, 0, -1)
    await server.zadd(layout.KEPT, dict.fromkeys(members, now - 1000))
    due = await store.forgettable(9)
    assert sorted(each.object_key for each in due) == [f"o/{n}" for n in range(5)]
    assert await store.forget([each.id for each in due]) == 5
    left = {key.decode() for key in await server.keys("*")}
    assert {key for key in left if ":idem:" not in key} == {
        layout.OUTBOX, layout.WAITING, f"{layout.PREFIX}turn:short", f"{layout.PREFIX}served",
    }  # fmt: skip


async def test_a_page_of_many_jobs_is_read_by_its_own_length(store: JobStore) -> None:
    """Ten times as many jobs are not ten times as much work; the bound is generous."""

    async def reading() -> float:
        begun = time.perf_counter()
        for _ in range(20):
            await store.page("acme", JobQuery(model="wine"), None, 50)
        return time.perf_counter() - begun

    await kept(store, *[asked() for _ in range(200)])
    few = await reading()
    await kept(store, *[asked() for _ in range(4000)])
    assert await reading() < 5 * few + 1
