"""A model repository whose models tests make and break, and the calls they send."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from control_plane.inference.backend import InferenceBackend
from control_plane.types import Backing, EncodedInput, InferenceRequest, Tensor

TEMPLATE = Path(__file__).parent / "adder"
PATIENCE_S = 60.0
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }} ]
ensemble_scheduling {{ step [ {{
  model_name: "{step}" model_version: -1
  input_map {{ key: "X" value: "X" }} output_map {{ key: "Y" value: "Y" }}
}} ] }}
"""


class Workshop:
    """A model repository.

    Attributes:
        repository: Where it is.
    """

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def put(self, model: str, version: str = "1", **behaviour: Any) -> Backing:
        """Write a version of a model that adds one, or change how it behaves."""
        folder = self.repository / model
        (folder / version).mkdir(parents=True, exist_ok=True)
        if not (folder / "config.pbtxt").exists():
            shutil.copy(TEMPLATE / "config.pbtxt", folder)
        shutil.copy(TEMPLATE / "1" / "model.py", folder / version)
        (folder / version / "behaviour.json").write_text(json.dumps(behaviour))
        return Backing(model, version)

    def join(self, ensemble: str, step: str) -> Backing:
        """Write an ensemble of one step."""
        (self.repository / ensemble / "1").mkdir(parents=True)
        (self.repository / ensemble / "config.pbtxt").write_text(ENSEMBLE.format(step=step))
        return Backing(ensemble, "1")


class AdderCodec:
    """Joins numbers; a row is the sum that the model gives."""

    outputs = ("Y",)

    def join(self, items: list[EncodedInput]) -> tuple[Tensor, ...]:
        data = b"".join(item.parts[0] for item in items)
        return (Tensor("X", "FP32", (len(items), 1), data),)

    def split(self, outputs: dict[str, Tensor], size: int) -> list[Any]:
        return list(struct.unpack(f"<{size}f", outputs["Y"].data))


def number(value: float) -> EncodedInput:
    return EncodedInput((struct.pack("<f", value),), ((1,),))


def fresh() -> str:
    """A model name that nothing else has."""
    return f"m_{uuid.uuid4().hex[:8]}"


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition comes true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.02)


async def gone(backend: InferenceBackend, backing: Backing) -> None:
    """Wait until a version is not ready."""
    async with asyncio.timeout(PATIENCE_S):
        while backing in await backend.ready_models(PATIENCE_S):  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.02)


async def added(backend: InferenceBackend, backing: Backing, value: float = 1.0) -> float:
    """What a model answers to a number.

    Raises:
        BackendError: As the backend does.
    """
    codec = AdderCodec()
    request = InferenceRequest(backing, codec.join([number(value)]), codec.outputs, PATIENCE_S)
    outputs = await backend.infer(request)
    return float(codec.split(outputs, 1)[0])
