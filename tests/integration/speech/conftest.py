"""A lane to the project's own models, without a door or a worker between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import read_repository
from control_plane.inference.lane import CallReport, Lane
from control_plane.inference.pool import BackendPool
from control_plane.inference.triton import TritonBackend
from control_plane.jobs.work.streams import run_stream
from tests.stack import REPOSITORY, Stack
from tests.unit.readers.memory import InMemory


class Bench:
    """Takes objects to models.

    Attributes:
        calls: Sizes of the calls to Triton.
        progress: What was told.
    """

    def __init__(self, pool: BackendPool) -> None:
        self._pool = pool
        reading = read_repository(REPOSITORY)
        assert reading.faults == []
        self.contracts = {str(one.ref): one for one in reading.contracts}
        self._lanes: dict[str, Lane] = {}
        self.calls: list[int] = []
        self.progress: list[float] = []
        self.begun = asyncio.Event()

    def lane(self, name: str) -> Lane:
        if name not in self._lanes:
            contract = self.contracts[name]
            self._lanes[name] = Lane(
                contract.backing, contract.codec, self._pool,
                max_batch=8, slots=2, max_waiting=1000, report=self._report,
                deadline_s=contract.contract.deadline_ms / 1000,
            )  # fmt: skip
        return self._lanes[name]

    async def run(self, name: str, data: bytes | InMemory, **given: Any) -> dict[str, Any]:
        """The result of a job that names an object."""
        contract: CompiledContract = self.contracts[name]
        assert contract.stream is not None
        assert contract.job_inputs is not None
        inputs = contract.job_inputs.complete({contract.stream.object: "x", **given})
        opened = data if isinstance(data, InMemory) else InMemory(data)
        objects = {contract.stream.object: opened}
        return await run_stream(contract, inputs, objects, self.lane(name), self._tell)

    def _tell(self, percent: float) -> None:
        self.progress.append(percent)
        self.begun.set()

    def _report(self, report: CallReport) -> None:
        self.calls.append(report.size)

    async def close(self) -> None:
        for lane in self._lanes.values():
            await lane.close(1)


@pytest.fixture
async def bench(stack: Stack) -> AsyncIterator[Bench]:
    """Lanes to the Triton of the stack."""
    pool = BackendPool(
        [TritonBackend(stack.endpoints["triton_grpc"])], interval_s=1.0, timeout_s=5.0
    )
    async with AsyncExitStack() as ending:
        ending.push_async_callback(pool.close)
        await pool.start()
        made = Bench(pool)
        ending.push_async_callback(made.close)
        yield made
