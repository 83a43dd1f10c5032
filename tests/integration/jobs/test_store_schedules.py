"""Whatever the order: one end a job, nothing after it, and every list and count agrees.

``JOBS_SCHEDULES=10000`` runs so many schedules.
"""

from __future__ import annotations

import os

import pytest
import redis.asyncio as redis

from control_plane.jobs import upkeep
from control_plane.jobs.store import JobStore
from control_plane.setting_groups import JobSettings
from tests.integration.jobs.store_schedules import Schedule

SCHEDULES = int(os.environ.get("JOBS_SCHEDULES", "120"))
STEPS = 48
HOUR_MS = 3_600_000


@pytest.mark.timeout(120 + SCHEDULES)
async def test_the_scripts_do_what_the_model_says(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BACKOFF_MS", HOUR_MS)
    monkeypatch.setattr(upkeep, "LONGEST_MS", HOUR_MS)
    await server.config_set("appendfsync", "no")
    settings = JobSettings(durability="relaxed", attempts=3, lease_s=600, pending_per_tenant=6)
    store = JobStore(server, settings)
    for seed in range(SCHEDULES):
        await server.flushall()
        schedule = Schedule(server, store, seed, settings.pending_per_tenant)
        try:
            await schedule.run(STEPS)
        except AssertionError as error:
            error.add_note(f"schedule {seed}")
            raise
