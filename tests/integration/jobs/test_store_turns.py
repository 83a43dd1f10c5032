"""Who goes first: tenants, priorities and sizes."""

from __future__ import annotations

from collections import Counter

from control_plane.jobs.shapes import Priority, Size
from control_plane.jobs.store import JobStore
from tests.integration.jobs.submissions import asked, done, hold, kept, take


async def test_ten_thousand_jobs_of_one_tenant_do_not_delay_anothers_one(store: JobStore) -> None:
    await kept(store, *[asked("crowd") for _ in range(10_000)])
    running = await take(store, 128)
    [one] = await kept(store, asked("single"))
    ended = running[:2]
    await store.finish([done(claim) for claim in ended])
    assert [claim.job.id for claim in await take(store, 1)] == [one]
    assert {claim.job.tenant for claim in await take(store, 1)} == {"crowd"}


async def test_tenants_with_as_many_running_jobs_take_turns(store: JobStore) -> None:
    """One slot: whoever was served the longest ago is next, also who comes back each time."""
    await kept(store, *[asked(tenant) for tenant in ("a", "b") for _ in range(6)])
    served = []
    for _ in range(12):
        await kept(store, asked("c"))
        [claim] = await take(store, 1)
        served.append(claim.job.tenant)
        await store.finish([done(claim)])
    assert Counter(served) == {"a": 4, "b": 4, "c": 4}


async def test_slots_are_shared_evenly(store: JobStore) -> None:
    await kept(store, *[asked(tenant) for tenant in ("a", "a", "b", "c") for _ in range(50)])
    claims = await take(store, 60)
    assert Counter(claim.job.tenant for claim in claims) == {"a": 20, "b": 20, "c": 20}
    of_a = [claim for claim in claims if claim.job.tenant == "a"]
    await store.hand_back([hold(claim) for claim in of_a[:10]])
    assert Counter(claim.job.tenant for claim in await take(store, 10)) == {"a": 10}


async def test_priorities_get_eight_four_and_one_of_thirteen(store: JobStore) -> None:
    await kept(store, *[asked(f"t{priority:d}", priority=priority)
                        for priority in Priority for _ in range(150)])  # fmt: skip
    claims = [claim for _ in range(13) for claim in await take(store, 13)]
    assert Counter(claim.job.tenant for claim in claims) == {"t0": 104, "t1": 52, "t2": 13}


async def test_a_priority_that_has_nothing_waiting_leaves_its_turns(store: JobStore) -> None:
    for priority in (Priority.NORMAL, Priority.LOW):
        await kept(store, *[asked(f"t{priority:d}", priority=priority) for _ in range(60)])
    claims = [claim for _ in range(50) for claim in await take(store, 1)]
    assert Counter(claim.job.tenant for claim in claims) == {"t1": 40, "t2": 10}


async def test_long_jobs_wait_for_slots_of_their_own(store: JobStore) -> None:
    long = await kept(store, *[asked(size=Size.LONG) for _ in range(3)])
    short = await kept(store, asked("bolt"))
    assert [claim.job.id for claim in await take(store, 9)] == short
    assert [claim.job.id for claim in await take(store, 9, Size.LONG)] == long


async def test_jobs_of_one_tenant_are_taken_in_the_order_of_submission(store: JobStore) -> None:
    names = await kept(store, *[asked() for _ in range(30)])
    claims = await take(store, 7)
    await store.hand_back([hold(claim) for claim in claims])
    assert [claim.job.id for claim in await take(store, 30)] == names
