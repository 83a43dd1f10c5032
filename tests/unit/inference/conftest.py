"""Model servers in memory, for faults that a real one cannot be made to show."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control_plane.inference.memory import MemoryBackend
from control_plane.types import (
    Backing,
    EncodedInput,
    InferenceRequest,
    ModelSignature,
    Tensor,
)

HOUSE = Backing("house", "1")


class EchoCodec:
    """Joins inputs byte by byte; a row is the input's own byte."""

    outputs = ("X",)

    def join(self, items: list[EncodedInput]) -> tuple[Tensor, ...]:
        data = b"".join(item.parts[0] for item in items)
        return (Tensor("X", "UINT8", (len(items), 1), data),)

    def split(self, outputs: dict[str, Tensor], size: int) -> list[Any]:
        assert outputs["X"].shape[0] == size
        return list(outputs["X"].data)


def echo(request: InferenceRequest) -> dict[str, Tensor]:
    return {"X": request.inputs[0]}


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits until a condition comes true."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 (what is awaited tells nobody)
                await asyncio.sleep(0.001)

    return wait


@pytest.fixture
def codec() -> EchoCodec:
    return EchoCodec()


@pytest.fixture
def server() -> Callable[..., MemoryBackend]:
    """Makes a server that has the model ``house`` and answers what it was sent."""

    def build(
        name: str = "memory", model: Callable[[InferenceRequest], Any] = echo, max_batch: int = 8
    ) -> MemoryBackend:
        backend = MemoryBackend({HOUSE: model}, name)
        backend.signatures[HOUSE] = ModelSignature((), (), max_batch)
        return backend

    return build


@pytest.fixture
def item() -> Callable[[int], EncodedInput]:
    """Makes an input of one byte."""
    return lambda number: EncodedInput((bytes([number]),), ((1,),))
