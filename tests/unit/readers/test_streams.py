"""A document through a lane whose server is busy or away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from control_plane.contracts.compiler import CompiledContract
from control_plane.errors import NotAvailable, TidegateError
from control_plane.inference.backend import BackendBusy, BackendError, BackendUnreachable
from control_plane.inference.lane import Lane
from control_plane.inference.pool import BackendPool
from control_plane.jobs.work.streams import PAUSES_S, run_stream
from control_plane.types import InferenceRequest, Tensor
from tests.unit.readers.memory import InMemory

Compile = Callable[..., CompiledContract]

TEXT: dict[str, Any] = {
    "inputs": {
        "required": ["text"],
        "properties": {"text": {"type": "string", "maxLength": 100, "pattern": "^[^#]*$"}},
    },
    "examples": [{"text": "a"}],
    "tensors": {"T": {"from": "text", "datatype": "BYTES", "shape": [1]}},
    "answer": {"kind": "classification", "tensor": "P", "labels": ["short", "long"]},
    "stream": {
        "object": "document", "media_types": ["text/plain"], "max_bytes": 100_000,
        "reader": "sentences", "into": "text",
    },
}  # fmt: skip


class Server:
    """Answers ``short`` always, after it has failed as often as it was told to.

    Attributes:
        calls: How often it was called.
    """

    def __init__(self, *failures: BackendError) -> None:
        self._failures = list(failures)
        self.calls = 0

    async def infer(self, request: InferenceRequest) -> dict[str, Tensor]:
        self.calls += 1
        if self._failures:
            raise self._failures.pop()
        size = request.inputs[0].shape[0]
        rows = np.tile(np.array([0.75, 0.25], "<f4"), (size, 1))
        return {"P": Tensor("P", "FP32", rows.shape, rows.tobytes())}


def lane(contract: CompiledContract, server: Server) -> Lane:
    pool = cast("BackendPool", server)
    return Lane(
        contract.backing, contract.codec, pool,
        max_batch=8, slots=1, max_waiting=1000, report=lambda _: None,
    )  # fmt: skip


def answered(
    in_virtual_time: Callable[[Any], Any], contract: CompiledContract, server: Server, text: str
) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        opened = {"document": InMemory(text.encode())}
        return await run_stream(
            contract, {"document": "x"}, opened, lane(contract, server), lambda _: None
        )

    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(in_virtual_time(run())))
    return decoded


@pytest.mark.parametrize("failure", [BackendBusy("full"), BackendUnreachable("away")])
def test_a_part_is_tried_again(
    in_virtual_time: Callable[[Any], Any], compiled: Compile, failure: BackendError
) -> None:
    server = Server(*[failure] * len(PAUSES_S))
    result = answered(in_virtual_time, compiled(**TEXT), server, "One.")
    assert server.calls == len(PAUSES_S) + 1
    assert result["sentences"] == [
        {"index": 0, "start": 0, "end": 4, "prediction": "short", "confidence": 0.75}
    ]
    assert result["summary"] == {
        "count": 1,
        "by_label": {
            "short": {"count": 1, "mean_confidence": 0.75},
            "long": {"count": 0, "mean_confidence": None},
        },
        "warnings": {},
    }


def test_in_the_end_it_is_given_up(
    in_virtual_time: Callable[[Any], Any], compiled: Compile
) -> None:
    server = Server(*[BackendBusy("full")] * 100)
    with pytest.raises(TidegateError) as caught:
        answered(in_virtual_time, compiled(**TEXT), server, "One.")
    assert caught.value.code == "OVERLOADED"


def test_a_sentence_that_the_inputs_do_not_take_is_named(
    in_virtual_time: Callable[[Any], Any], compiled: Compile
) -> None:
    with pytest.raises(TidegateError, match="The sentence at character 5") as caught:
        answered(in_virtual_time, compiled(**TEXT), Server(), "One. Number # two. Three.")
    assert caught.value.code == "OBJECT_UNUSABLE"


async def test_a_model_without_a_stream_takes_none(compiled: Compile) -> None:
    contract = compiled()
    with pytest.raises(NotAvailable):
        await run_stream(contract, {}, {}, lane(contract, Server()), lambda _: None)


async def test_a_cancellation_leaves_no_sentence_behind(compiled: Compile) -> None:
    class Slow(Server):
        called = asyncio.Event()

        async def infer(self, request: InferenceRequest) -> dict[str, Tensor]:
            self.called.set()
            await asyncio.Event().wait()
            return {}

    contract, server = compiled(**TEXT), Slow()
    before = asyncio.all_tasks()
    opened = {"document": InMemory(b"One. Two. Three. " * 100)}
    work = run_stream(contract, {"document": "x"}, opened, lane(contract, server), lambda _: None)
    task = asyncio.create_task(work)
    await server.called.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
