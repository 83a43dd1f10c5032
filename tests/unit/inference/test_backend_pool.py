"""Several servers as one: where calls go, and what happens when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendFailed,
    BackendRejected,
    BackendTimeout,
    BackendUnreachable,
    InferenceBackend,
    ModelNotLoaded,
)
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, InferenceRequest, Tensor

HOUSE = Backing("house", "1")
REQUEST = InferenceRequest(HOUSE, (Tensor("X", "UINT8", (1, 1), b"\x01"),), ("X",), 1.0)
Server = Callable[..., MemoryBackend]


async def pool_of(*backends: InferenceBackend) -> BackendPool:
    pool = BackendPool(backends, interval_s=60, timeout_s=1)
    for endpoint in pool.endpoints:
        await pool.look(endpoint)
    return pool


def failing(error: BackendError) -> Callable[[InferenceRequest], Any]:
    def model(_: InferenceRequest) -> Any:
        raise error

    return model


class Watched(MemoryBackend):
    """Says when it was asked for its health while it could not be reached."""

    def __init__(self, models: Any) -> None:
        super().__init__(models)
        self.asked = asyncio.Event()
        self.looks = 0

    async def ready_models(self, timeout_s: float) -> frozenset[Backing]:
        self.looks += not self.reachable
        if self.looks > 1:  # the answer of the look before has been taken
            self.asked.set()
        return await super().ready_models(timeout_s)


async def test_before_the_first_look_nothing_is_ready(server: Server) -> None:
    pool = BackendPool([server()], interval_s=60, timeout_s=1)
    assert not pool.is_ready(HOUSE)
    with pytest.raises(BackendUnreachable):
        await pool.infer(REQUEST)


async def test_a_call_is_answered_by_a_server_that_has_the_model(server: Server) -> None:
    other = MemoryBackend({Backing("wine", "1"): lambda _: {}})
    mine = server()
    pool = await pool_of(other, mine)
    assert (await pool.infer(REQUEST))["X"].data == b"\x01"
    assert (len(other.calls), len(mine.calls)) == (0, 1)


async def test_calls_go_to_the_server_with_the_fewest_in_flight(server: Server) -> None:
    backends = [server(name) for name in "abc"]
    pool = await pool_of(*backends)
    await asyncio.gather(*[pool.infer(REQUEST) for _ in range(9)])
    assert [len(backend.calls) for backend in backends] == [3, 3, 3]
    assert [endpoint.in_flight for endpoint in pool.endpoints] == [0, 0, 0]


async def test_a_busy_server_is_left_alone(server: Server) -> None:
    slow, quick = server("slow"), server("quick")
    slow.delay_s = 60
    pool = await pool_of(slow, quick)
    stuck = asyncio.create_task(pool.infer(REQUEST))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        for _ in range(5):
            await pool.infer(REQUEST)
    assert (len(slow.calls), len(quick.calls)) == (1, 5)
    stuck.cancel()
    await asyncio.wait([stuck])
    assert pool.endpoints[0].in_flight == 0
    assert slow.cancelled == 1


async def test_an_unreachable_server_is_left_out_and_another_answers(server: Server) -> None:
    dead, alive = server("dead"), server("alive")
    pool = await pool_of(dead, alive)
    dead.reachable = False
    for _ in range(3):
        assert (await pool.infer(REQUEST))["X"].data == b"\x01"
    assert not pool.endpoints[0].ready
    assert pool.is_ready(HOUSE)


async def test_with_every_server_unreachable_the_call_fails_and_nothing_is_ready(
    server: Server,
) -> None:
    backends = [server(), server()]
    pool = await pool_of(*backends)
    for backend in backends:
        backend.reachable = False
    with pytest.raises(BackendUnreachable):
        await pool.infer(REQUEST)
    assert not pool.is_ready(HOUSE)


async def test_a_server_that_unloaded_the_model_is_passed_over_for_this_model_only(
    server: Server,
) -> None:
    wine = Backing("wine", "1")
    unloading, other = server("unloading"), server("other")
    unloading.models[wine] = lambda _: {}
    pool = await pool_of(unloading, other)
    del unloading.models[HOUSE]
    assert (await pool.infer(REQUEST))["X"].data == b"\x01"
    assert pool.endpoints[0].ready == {wine}
    del other.models[HOUSE]
    with pytest.raises(ModelNotLoaded):
        await pool.infer(REQUEST)


@pytest.mark.parametrize("error", [BackendBusy, BackendTimeout, BackendRejected, BackendFailed])
async def test_a_call_that_reached_a_model_is_never_repeated(
    server: Server, error: type[BackendError]
) -> None:
    first, second = server("first", failing(error("no"))), server("second")
    pool = await pool_of(first, second)
    with pytest.raises(error):
        await pool.infer(REQUEST)
    assert (len(first.calls), len(second.calls)) == (1, 0)
    assert pool.endpoints[0].ready, "the server is healthy"


async def test_a_server_that_came_back_answers_again(server: Server) -> None:
    backend = server()
    pool = await pool_of(backend)
    backend.reachable = False
    await pool.look(pool.endpoints[0])
    assert not pool.is_ready(HOUSE)
    backend.reachable = True
    await pool.look(pool.endpoints[0])
    assert pool.is_ready(HOUSE)


async def test_listeners_hear_of_what_came_and_not_of_what_stayed(server: Server) -> None:
    heard: list[frozenset[Backing]] = []
    backend = server()
    pool = BackendPool([backend], interval_s=60, timeout_s=1)
    pool.on_ready.append(lambda _, came: heard.append(came))
    endpoint = pool.endpoints[0]
    await pool.look(endpoint)
    await pool.look(endpoint)
    backend.models[Backing("wine", "1")] = lambda _: {}
    await pool.look(endpoint)
    pool.forget(backend, HOUSE)
    assert not pool.is_ready(HOUSE)
    await pool.look(endpoint)
    assert heard == [{HOUSE}, {Backing("wine", "1")}, {HOUSE}]


async def test_the_watch_notices_death_and_return_and_ends_with_the_pool(server: Server) -> None:
    backend = Watched(server().models)
    pool = BackendPool([backend], interval_s=0.001, timeout_s=1)
    await pool.start()
    assert pool.is_ready(HOUSE)
    came = asyncio.Event()
    pool.on_ready.append(lambda *_: came.set())
    backend.reachable = False
    async with asyncio.timeout(10):
        await backend.asked.wait()
        assert not pool.is_ready(HOUSE)
        backend.reachable = True
        await came.wait()
    assert pool.is_ready(HOUSE)
    await pool.close()
    assert all(watcher.done() for watcher in pool._watchers)
    assert not backend.reachable


async def test_a_listener_that_fails_does_not_end_the_watch(server: Server) -> None:
    failed, heard = asyncio.Event(), asyncio.Event()
    backend = server()
    pool = BackendPool([backend], interval_s=0.001, timeout_s=1)
    await pool.start()

    def listener(_: InferenceBackend, came: frozenset[Backing]) -> None:
        if Backing("wine", "1") in came:
            failed.set()
            raise LookupError
        heard.set()

    pool.on_ready.append(listener)
    backend.models[Backing("wine", "1")] = lambda _: {}
    async with asyncio.timeout(10):
        await failed.wait()
        backend.models[Backing("beer", "1")] = lambda _: {}
        await heard.wait()
    await pool.close()
