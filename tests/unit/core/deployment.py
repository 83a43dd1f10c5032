"""A model of three versions behind a pipeline, without Triton."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis.asyncio as redis

from control_plane.admission.principal import Principal
from control_plane.choice import PredictCall
from control_plane.contracts.compiler import CompiledContract
from control_plane.inference.lanes import Lanes, LaneSpec
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.observer import Observer
from control_plane.offer import Offer
from control_plane.pipeline import Pipeline, Prediction
from control_plane.routing.feedback.sampler import Sampler
from control_plane.routing.shadow.counts import ShadowCounts
from control_plane.routing.shadow.differences import Differences
from control_plane.routing.shadow.jobs import ShadowAnswer, ShadowJob
from control_plane.routing.shadow.runner import ShadowRunner
from control_plane.routing.state import ModelState, VersionState
from control_plane.routing.trials import CountStore, Trials
from control_plane.sealing import Sealer
from control_plane.types import Backing, InferenceRequest, Life, ModelRef, ModelSignature, Tensor

Compile = Callable[..., CompiledContract]
WIDE = {"required": ["x"], "properties": {"x": {"type": "number", "maximum": 1000}}}
NARROW = {"required": ["x"], "properties": {"x": {"type": "number", "maximum": 10}}}


def echo(request: InferenceRequest) -> dict[str, Tensor]:
    return {"X": request.inputs[0]}


def observer() -> Observer:
    """One whose notes nobody writes, and whose shadows do not run."""
    server = redis.Redis()
    counts = ShadowCounts(CountStore(server))
    differences = Differences(server, Sealer("A" * 43))
    shadows = ShadowRunner(nothing, counts, differences, lambda: False)
    return Observer(Trials(server), Sampler(server, 20, 60), shadows)


async def nothing(job: ShadowJob) -> ShadowAnswer:
    raise AssertionError("no shadow runs")


class Deployment:
    """Versions 1 (wide, stable), 2 (narrow, stable) and 3 (wide, retired) of one model.

    Only version 1 is for anybody.
    """

    def __init__(self, compiled: Compile, gate: Any, caller: Principal) -> None:
        self.gate = gate
        self.caller = caller
        self.contracts: dict[ModelRef, CompiledContract] = {}
        for major, schema in enumerate((WIDE, NARROW, WIDE), start=1):
            made = compiled(
                version=f"v{major}.0.0", inputs=schema, units=major, deadline_ms=500,
                anonymous=major == 1,
            )  # fmt: skip
            made = type(made)(
                made.contract, made.ref, made.version, Backing("m", str(major)), None,
                made.inputs, made.codec, made.answers,
            )  # fmt: skip
            self.contracts[made.ref] = made
        self.backend = MemoryBackend({made.backing: echo for made in self.contracts.values()})
        for backing in self.backend.models:
            self.backend.signatures[backing] = ModelSignature((), (), 8)
        lives = (Life.STABLE, Life.STABLE, Life.RETIRED)
        self.state = ModelState(
            name="house",
            stable="v2.0.0",
            versions={
                str(ref.version): VersionState(life=life, since=1)
                for ref, life in zip(self.contracts, lives, strict=True)
            },
        )
        self.pool = BackendPool([self.backend], interval_s=60, timeout_s=1)
        specs = {
            made.backing: LaneSpec(made.ref, made.codec, lambda _: [])
            for made in self.contracts.values()
        }
        lanes = Lanes(specs, self.pool, slots=1, max_waiting=9, timeout_s=1, report=lambda *_: None)
        self.lanes = lanes
        self.offer = Offer(self.contracts, None)
        self.offer.follow({"house": self.state})
        self.observer = observer()
        self.trials = self.observer.trials
        self.pipeline = Pipeline(self.offer, lanes, gate, self.observer)

    async def look(self) -> None:
        await self.pool.look(self.pool.endpoints[0])
        await self.lanes.settle()

    async def predict(self, body: Any, **call: Any) -> Prediction:
        principal = call.pop("principal", self.caller)
        arrived = time.perf_counter()
        return await self.pipeline.predict(PredictCall(body, arrived, principal, **call))
