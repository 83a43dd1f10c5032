"""What sweepers do beside the scripts: objects go before the jobs that name them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from control_plane.errors import TidegateError
from control_plane.jobs.replies import Forgettable, Swept
from control_plane.jobs.work.sweeper import FORGET_MOST, Sweeper
from control_plane.telemetry.job_metrics import JobMetrics


class Store:
    """Jobs that were kept long enough."""

    def __init__(self, due: list[Forgettable], order: list[str]) -> None:
        self.due = due
        self.order = order

    async def sweep(self) -> Swept:
        return Swept(expired=1, lost=2, failed=3)

    async def forgettable(self, limit: int) -> list[Forgettable]:
        return self.due[:limit]

    async def forget(self, ids: list[str]) -> int:
        self.order += ids
        self.due = [job for job in self.due if job.id not in ids]
        return len(ids)


def sweeper(store: Any, drop: Any) -> tuple[Sweeper, CollectorRegistry]:
    registry = CollectorRegistry()
    return Sweeper(store, drop, JobMetrics(registry)), registry


async def test_objects_go_before_their_jobs_and_all_that_is_due_goes() -> None:
    order: list[str] = []
    count = 2 * FORGET_MOST + 1
    store = Store([Forgettable(f"job_{n}", f"object_{n}") for n in range(count)], order)

    async def drop(key: str) -> None:
        order.append(key)

    made, registry = sweeper(store, drop)
    await made.forget()
    assert store.due == []
    assert all(order.index(f"object_{n}") < order.index(f"job_{n}") for n in range(count))
    assert registry.get_sample_value("tidegate_jobs_swept_total", {"what": "forgotten"}) == count


async def test_a_job_is_not_forgotten_while_its_object_cannot_be_deleted() -> None:
    order: list[str] = []
    store = Store([Forgettable("job_1", "object_1")], order)

    async def drop(key: str) -> None:
        raise TidegateError("away", code="UPLOADS_UNAVAILABLE")

    with pytest.raises(TidegateError):
        await sweeper(store, drop)[0].forget()
    assert order == []


async def test_what_was_swept_is_counted() -> None:
    made, registry = sweeper(Store([], []), None)
    await made.sweep()
    found = [
        registry.get_sample_value("tidegate_jobs_swept_total", {"what": what})
        for what in ("expired", "recovered", "dead")
    ]
    assert found == [1, 2, 3]
