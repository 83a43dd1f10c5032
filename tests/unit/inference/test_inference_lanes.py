"""The lanes of all versions: opened when Triton has a version and agrees with its contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.errors import ModelUnavailable
from control_plane.inference.examination import LaneSpec
from control_plane.inference.lane import CallReport
from control_plane.inference.lanes import Lanes
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, EncodedInput, ModelRef, ModelSignature, Version

HOUSE = Backing("house", "1")
REF = ModelRef("house", Version(1, 0, 0))
Server = Callable[..., MemoryBackend]
Item = Callable[[int], EncodedInput]


def too_small(signature: ModelSignature) -> list[str]:
    """What a contract says that wants batches of more than one."""
    return [] if signature.max_batch_size > 1 else ["the model takes no batches"]


class Setting:
    """Lanes over some servers."""

    def __init__(self, codec: Any, *backends: MemoryBackend) -> None:
        self.pool = BackendPool(backends, interval_s=60, timeout_s=1)
        self.reports: list[tuple[ModelRef, CallReport]] = []
        self.lanes = Lanes(
            {HOUSE: LaneSpec(REF, codec, too_small)},
            self.pool,
            slots=1,
            max_waiting=100,
            timeout_s=1,
            report=lambda ref, call: self.reports.append((ref, call)),
        )

    async def look(self, *numbers: int) -> None:
        for number in numbers or range(len(self.pool.endpoints)):
            await self.pool.look(self.pool.endpoints[number])
            await self.lanes.settle()

    async def infer(self, *items: EncodedInput) -> list[Any]:
        deadline = asyncio.get_running_loop().time() + 60
        lane = self.lanes.lane(HOUSE)
        return await asyncio.gather(*[lane.infer(item, deadline) for item in items])


async def test_a_version_that_triton_has_ready_is_served(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(codec, server())
    assert not setting.lanes.is_ready(HOUSE)
    await setting.look()
    assert setting.lanes.is_ready(HOUSE)
    (outcome,) = await setting.infer(item(7))
    assert outcome.row == 7
    assert [(ref, call.size) for ref, call in setting.reports] == [(REF, 1)]
    assert setting.lanes.waiting() == {REF: 0}


async def test_a_version_that_triton_has_not_is_unavailable(codec: Any) -> None:
    setting = Setting(codec, MemoryBackend({}))
    await setting.look()
    with pytest.raises(ModelUnavailable):
        setting.lanes.lane(HOUSE)


async def test_an_internal_model_gets_no_lane(server: Server, codec: Any) -> None:
    backend = server()
    internal = Backing("tokenizer", "1")
    backend.models[internal] = lambda _: {}
    setting = Setting(codec, backend)
    await setting.look()
    assert not setting.lanes.is_ready(internal)
    with pytest.raises(ModelUnavailable):
        setting.lanes.lane(internal)


async def test_calls_are_no_larger_than_the_model_takes(
    server: Server, codec: Any, item: Item
) -> None:
    backend = server(max_batch=3)
    setting = Setting(codec, backend)
    await setting.look()
    await setting.infer(*map(item, range(10)))
    assert max(request.inputs[0].shape[0] for request in backend.calls) == 3


async def test_a_version_whose_contract_disagrees_is_left_out(server: Server, codec: Any) -> None:
    setting = Setting(codec, server(max_batch=1))
    await setting.look()
    assert not setting.lanes.is_ready(HOUSE)
    assert setting.lanes.refused == {HOUSE: {"memory": ["the model takes no batches"]}}
    with pytest.raises(ModelUnavailable):
        setting.lanes.lane(HOUSE)


async def test_a_version_that_was_corrected_and_came_back_is_served(
    server: Server, codec: Any, item: Item
) -> None:
    backend = server(max_batch=1)
    setting = Setting(codec, backend)
    await setting.look()
    backend.reachable = False
    await setting.look()
    backend.reachable = True
    backend.signatures[HOUSE] = ModelSignature((), (), 8)
    await setting.look()
    assert setting.lanes.refused == {}
    assert (await setting.infer(item(1)))[0].row == 1


async def test_a_model_that_went_and_came_back_is_served_again(
    server: Server, codec: Any, item: Item
) -> None:
    backend = server()
    setting = Setting(codec, backend)
    await setting.look()
    model = backend.models.pop(HOUSE)
    await setting.look()
    assert not setting.lanes.is_ready(HOUSE)
    backend.models[HOUSE] = model
    await setting.look()
    assert (await setting.infer(item(1)))[0].row == 1


async def test_a_model_that_came_back_with_smaller_batches_gets_smaller_calls(
    server: Server, codec: Any, item: Item
) -> None:
    backend = server(max_batch=8)
    setting = Setting(codec, backend)
    await setting.look()
    backend.reachable = False
    await setting.look()
    backend.reachable = True
    backend.signatures[HOUSE] = ModelSignature((), (), 2)
    await setting.look()
    await setting.infer(*map(item, range(6)))
    assert max(request.inputs[0].shape[0] for request in backend.calls) == 2


async def test_a_signature_that_cannot_be_had_is_asked_for_again(
    server: Server, codec: Any
) -> None:
    backend = server()
    signature = backend.signatures.pop(HOUSE)
    setting = Setting(codec, backend)
    await setting.look()
    assert not setting.lanes.is_ready(HOUSE)
    backend.signatures[HOUSE] = signature
    await setting.look()
    assert setting.lanes.is_ready(HOUSE)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_servers_only_the_one_that_agrees_is_called(
    server: Server, codec: Any, item: Item, order: tuple[int, int]
) -> None:
    agrees, disagrees = server("agrees"), server("disagrees", max_batch=1)
    setting = Setting(codec, agrees, disagrees)
    await setting.look(*order)
    shapes = [EncodedInput(item(number).parts, ((number + 1,),)) for number in range(6)]
    await setting.infer(*shapes)
    assert len(agrees.calls) == 6
    assert disagrees.calls == []


async def test_close_waits_for_what_is_in_flight(server: Server, codec: Any, item: Item) -> None:
    backend = server()
    backend.delay_s = 0.02
    setting = Setting(codec, backend)
    await setting.look()
    running = asyncio.create_task(setting.infer(item(1)))
    for _ in range(5):  # turns of the loop, until the input is in its lane
        await asyncio.sleep(0)
    await setting.lanes.close(30)
    assert (await running)[0].row == 1
