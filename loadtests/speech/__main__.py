"""``python -m loadtests.speech --triton HOST:PORT``: figures for the model card, as YAML."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from control_plane.contracts.repository import read_repository
from control_plane.inference.lane import Lane
from control_plane.inference.pool import BackendPool
from control_plane.inference.triton import TritonBackend
from control_plane.jobs.work.streams import run_stream
from tests.integration.speech.voices import RATE, Score, file_of, scored, speech, with_noise
from tests.unit.readers.memory import InMemory

FIRST_SEED = 1000
"""Far from the seeds by which the defaults were chosen (0 to 59)."""
AT_ONCE = 4
START_S, END_S = 0.1, 0.26


class Meter:
    """Takes recordings to the model."""

    def __init__(self, pool: BackendPool, repository: Path) -> None:
        reading = read_repository(repository)
        self._contract = next(one for one in reading.contracts if one.ref.name == "speech")
        self._lane = Lane(
            self._contract.backing, self._contract.codec, pool,
            max_batch=8, slots=2, max_waiting=1000, report=lambda _: None,
        )  # fmt: skip

    async def run(self, data: bytes) -> dict[str, Any]:
        """The result of one recording."""
        assert self._contract.job_inputs is not None
        inputs = self._contract.job_inputs.complete({"audio": "x"})
        opened = {"audio": InMemory(data)}
        return await run_stream(self._contract, inputs, opened, self._lane, lambda _: None)

    async def accuracy(self, files: int, *, noise: bool) -> dict[str, Any]:
        """What is heard in so many files."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(seed: int) -> Score:
            said = speech(seed)
            samples = with_noise(said.samples, seed) if noise else said.samples
            async with turns:
                return scored((await self.run(file_of(samples)))["segments"], said.segments)

        seeds = range(FIRST_SEED, FIRST_SEED + files)
        return summed(await asyncio.gather(*[one(seed) for seed in seeds]), files)

    async def speed(self, minutes: int) -> dict[str, Any]:
        """Windows of 32 ms a second, of one recording and of four at once."""
        said = speech(FIRST_SEED).samples
        data = file_of(np.tile(said, 60 * minutes * RATE // len(said)))
        windows = len(data) / 2 / RATE / 0.032
        found = {}
        for name, count in (("one_file", 1), ("four_files", 4)):
            began = time.perf_counter()
            await asyncio.gather(*[self.run(data) for _ in range(count)])
            found[name] = int(count * windows / (time.perf_counter() - began))
        return found


def summed(scores: list[Score], files: int) -> dict[str, Any]:
    """Figures of several files; a file of six phrases has five pauses."""
    starts = np.array([late for one in scores for late in one.starts])
    ends = np.array([late for one in scores for late in one.ends])
    return {
        "files": files,
        "pauses": 5 * files,
        "missed": sum(one.missed for one in scores),
        "invented": sum(one.invented for one in scores),
        "phrases_found_as_one_segment": len(starts),
        "starts_within_100_ms": round(float(np.mean(np.abs(starts) <= START_S)), 3),
        "ends_within_260_ms": round(float(np.mean(np.abs(ends) <= END_S)), 3),
        "start_late_ms": _quantiles(starts),
        "end_late_ms": _quantiles(ends),
    }


def _quantiles(late: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, int]:
    p05, median, p95 = np.percentile(1000 * late, [5, 50, 95])
    return {"p05": round(p05), "median": round(median), "p95": round(p95)}


async def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    pool = BackendPool([TritonBackend(options.triton)], interval_s=1.0, timeout_s=5.0)
    await pool.start()
    try:
        meter = Meter(pool, options.repository)
        found = {
            "clean": await meter.accuracy(options.files, noise=False),
            "noise_10_db": await meter.accuracy(options.files, noise=True),
            "windows_a_second": await meter.speed(options.minutes),
        }
    finally:
        await pool.close()
    YAML().dump(found, sys.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--triton", required=True, help="gRPC address of a Triton with the model")
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--minutes", type=int, default=10, help="length of the recording for speed")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    asyncio.run(main(parser.parse_args()))
