"""A real Triton is brought to what is wanted and kept there, also after it was started again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psutil
import pytest

from control_plane.inference.backoff import Backoff
from control_plane.inference.reconciler import Reconciler
from control_plane.inference.target import Target
from control_plane.inference.triton import TritonBackend
from tests.integration.inference.conftest import Bench
from tests.integration.inference.workshop import PATIENCE_S, Workshop, added, fresh, gone, until


class Wanted:
    """A target that tests change, and a reconciler that follows it."""

    def __init__(self, backend: TritonBackend) -> None:
        self.backend = backend
        self.target = Target({})
        self.reconciler = Reconciler(
            [backend],
            lambda: self.target,
            interval_s=0.1,
            linger_s=0.2,
            backoff=Backoff(first_s=0.2, most_s=0.2),
        )

    def __call__(self, *models: str, go: frozenset[str] = frozenset()) -> None:
        self.target = Target(dict.fromkeys(models, frozenset()), go)

    def state(self, model: str) -> str:
        reports = self.reconciler.report()
        return next((each.state for each in reports if each.model == model), "")


@pytest.fixture
async def wanted(backend: TritonBackend) -> AsyncIterator[Wanted]:
    setting = Wanted(backend)
    running = asyncio.create_task(setting.reconciler.run())
    yield setting
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_is_wanted_is_loaded_and_what_is_not_goes(
    wanted: Wanted, workshop: Workshop
) -> None:
    here, there = workshop.put(fresh()), workshop.put(fresh())
    both = frozenset({here.model, there.model})
    wanted(here.model, go=both)
    await until(lambda: wanted.state(here.model) == "ready")
    assert await added(wanted.backend, here) == 2.0
    wanted(there.model, go=both)
    await until(lambda: wanted.state(there.model) == "ready")
    await gone(wanted.backend, here)
    assert await added(wanted.backend, there) == 2.0


async def test_a_version_that_came_is_loaded_beside_the_one_that_is_ready(
    wanted: Wanted, workshop: Workshop
) -> None:
    one = workshop.put(fresh())
    wanted(one.model)
    await until(lambda: wanted.state(one.model) == "ready")
    two = workshop.put(one.model, "2")
    wanted.target = Target({one.model: frozenset({"1", "2"})})
    await until(lambda: wanted.state(one.model) == "ready")
    assert {one, two} <= await wanted.backend.ready_models(PATIENCE_S)


async def test_a_slow_model_and_a_broken_one_hold_up_nobody(
    wanted: Wanted, workshop: Workshop
) -> None:
    slow = workshop.put(fresh(), loads_for_s=3.0)
    broken = workshop.put(fresh(), fails_to_load="no such weights")
    quick = workshop.put(fresh())
    wanted(slow.model, broken.model, quick.model)
    await until(lambda: wanted.state(quick.model) == "ready")
    assert wanted.state(slow.model) == "loading"
    await until(lambda: wanted.state(broken.model) == "failed")
    report = next(each for each in wanted.reconciler.report() if each.model == broken.model)
    assert "no such weights" in report.reason
    await until(lambda: wanted.state(slow.model) == "ready")
    workshop.put(broken.model)
    await until(lambda: wanted.state(broken.model) == "ready")


async def test_files_that_changed_are_taken_up_when_asked_for(
    wanted: Wanted, workshop: Workshop
) -> None:
    backing = workshop.put(fresh(), fails_to_answer="lost my weights")
    wanted(backing.model)
    await until(lambda: wanted.state(backing.model) == "ready")
    workshop.put(backing.model)
    wanted.reconciler.again(backing.model)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(Exception):
                assert await added(wanted.backend, backing) == 2.0
                break
            await asyncio.sleep(0.02)


async def test_a_triton_that_was_started_again_gets_back_what_is_wanted_and_no_more(
    wanted: Wanted, workshop: Workshop, bench: Bench
) -> None:
    here, there = workshop.put(fresh()), workshop.put(fresh())
    wanted(here.model, go=frozenset({there.model}))
    await until(lambda: wanted.state(here.model) == "ready")
    children = psutil.Process(bench.triton.run.pid).children()
    next(each for each in children if "tritonserver" in each.name()).kill()
    await until(lambda: wanted.state(here.model) == "unknown")
    # It loads all that is in the repository when it starts.
    await until(lambda: wanted.state(here.model) == "ready")
    await gone(wanted.backend, there)
    assert await added(wanted.backend, here) == 2.0
