"""One version's way to Triton: shared calls, bad items that fail alone, errors translated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from control_plane.errors import TidegateError
from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendFailed,
    BackendRejected,
    BackendTimeout,
    BackendUnreachable,
    ModelNotLoaded,
)
from control_plane.inference.lane import SPLIT_BUDGET, UNBOUNDED, CallReport, Lane, Pace
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, EncodedInput, InferenceRequest, Tensor

HOUSE = Backing("house", "1")
Server = Callable[..., MemoryBackend]
Item = Callable[[int], EncodedInput]


class Setting:
    """A lane over one server, and the reports of its calls."""

    def __init__(self, backend: MemoryBackend, codec: Any, **bounds: int) -> None:
        self.backend = backend
        self.pool = BackendPool([backend], interval_s=60, timeout_s=1)
        self.reports: list[CallReport] = []
        bounds = {"max_batch": 256, "slots": 1, "max_waiting": 1000} | bounds
        self.lane = Lane(HOUSE, codec, self.pool, report=self.reports.append, **bounds)

    async def infer(self, *items: EncodedInput, timeout_s: float = 60) -> list[Any]:
        await self.pool.look(self.pool.endpoints[0])
        deadline = asyncio.get_running_loop().time() + timeout_s
        tasks = [self.lane.infer(item, deadline) for item in items]
        return await asyncio.gather(*tasks, return_exceptions=True)


def refusing(*bad: int) -> Callable[[InferenceRequest], dict[str, Tensor]]:
    """A model that calls every batch with one of these inputs invalid."""

    def model(request: InferenceRequest) -> dict[str, Tensor]:
        if set(bad) & set(request.inputs[0].data):
            raise BackendRejected("secret reason")
        return {"X": request.inputs[0]}

    return model


async def test_inputs_that_arrive_together_share_a_call_and_get_their_own_rows(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(), codec)
    outcomes = await setting.infer(*map(item, range(5)))
    assert [outcome.row for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert [outcome.shared for outcome in outcomes] == [5] * 5
    assert len(setting.backend.calls) == 1


async def test_inputs_of_other_shapes_never_share_a_call(server: Server, codec: Any) -> None:
    setting = Setting(server(), codec)
    items = [EncodedInput((bytes([n]),), ((n % 2 + 1,),)) for n in range(4)]
    outcomes = await setting.infer(*items)
    assert [outcome.shared for outcome in outcomes] == [2, 2, 2, 2]


async def test_times_are_not_negative_and_no_longer_than_the_whole(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(), codec)
    setting.backend.delay_s = 0.01
    started = time.perf_counter()
    (outcome,) = await setting.infer(item(1))
    whole = time.perf_counter() - started
    assert outcome.queue_s >= 0
    assert outcome.inference_s >= 0.009
    assert outcome.queue_s + outcome.inference_s <= whole


async def test_the_call_is_given_what_is_left_of_the_deadline(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(), codec)
    await setting.infer(item(1), timeout_s=5)
    assert 4 < setting.backend.calls[0].timeout_s <= 5


async def test_the_deadline_is_kept_and_the_call_cancelled(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(), codec)
    setting.backend.delay_s = 60
    started = time.perf_counter()
    (error,) = await setting.infer(item(1), timeout_s=0.05)
    assert 0.04 < time.perf_counter() - started < 5
    assert (error.code, error.status) == ("DEADLINE_EXCEEDED", 504)
    await asyncio.sleep(0)
    assert setting.backend.cancelled == 1
    assert [report.outcome for report in setting.reports] == ["cancelled"]


async def test_a_deadline_in_the_past_never_reaches_the_model(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(), codec)
    (error,) = await setting.infer(item(1), timeout_s=-1)
    assert error.code == "DEADLINE_EXCEEDED"
    assert setting.backend.calls == []


async def test_one_more_than_may_wait_is_told_when_to_come_back(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(), codec, max_waiting=2)
    outcomes = await setting.infer(*map(item, range(3)))
    assert [getattr(outcome, "code", "ok") for outcome in outcomes] == ["ok", "ok", "OVERLOADED"]
    assert outcomes[2].headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BackendBusy, "OVERLOADED"),
        (BackendTimeout, "DEADLINE_EXCEEDED"),
        (BackendUnreachable, "MODEL_UNAVAILABLE"),
        (ModelNotLoaded, "MODEL_UNAVAILABLE"),
        (BackendFailed, "MODEL_FAILED"),
        (BackendRejected, "INVALID_INPUT"),
        (BackendError, "MODEL_FAILED"),
    ],
)
async def test_every_error_of_a_server_is_one_of_the_catalogue_and_tells_nothing_of_it(
    server: Server, codec: Any, item: Item, error: type[BackendError], code: str
) -> None:
    def model(_: InferenceRequest) -> Any:
        raise error("secret: tensor at 10.0.0.7:8001 in /opt/model.py")

    setting = Setting(server(model=model), codec)
    (got,) = await setting.infer(item(1))
    assert isinstance(got, TidegateError)
    assert got.code == code
    assert "secret" not in f"{got} {got.details} {got.headers} {getattr(got, 'faults', '')}"
    assert (got.status == 503) is ("retry-after" in got.headers)


async def test_every_error_of_a_server_has_a_case_above() -> None:
    leaves = set(BackendError.__subclasses__())
    assert leaves == {BackendBusy, BackendTimeout, BackendUnreachable, ModelNotLoaded,
                      BackendFailed, BackendRejected}  # fmt: skip


@pytest.mark.parametrize("bad", [0, 7, 15])
async def test_one_bad_input_fails_alone(server: Server, codec: Any, item: Item, bad: int) -> None:
    setting = Setting(server(model=refusing(bad)), codec)
    outcomes = await setting.infer(*map(item, range(16)))
    codes = [getattr(outcome, "code", outcome.row if hasattr(outcome, "row") else None)
             for outcome in outcomes]  # fmt: skip
    assert codes[bad] == "INVALID_INPUT"
    assert [code for index, code in enumerate(codes) if index != bad] == [
        index for index in range(16) if index != bad
    ]


@pytest.mark.parametrize("bad", [(0, 15), (7, 8), (3, 12)])
async def test_two_bad_inputs_of_sixteen_fail_alone(
    server: Server, codec: Any, item: Item, bad: tuple[int, ...]
) -> None:
    setting = Setting(server(model=refusing(*bad)), codec)
    outcomes = await setting.infer(*map(item, range(16)))
    refused = [i for i, o in enumerate(outcomes) if getattr(o, "code", "") == "INVALID_INPUT"]
    served = [i for i, o in enumerate(outcomes) if not isinstance(o, Exception)]
    assert (tuple(refused), len(served)) == (bad, 14)


@pytest.mark.parametrize("bad", [0, 100, 255])
async def test_one_bad_input_of_256_is_found(
    server: Server, codec: Any, item: Item, bad: int
) -> None:
    setting = Setting(server(model=refusing(bad)), codec)
    outcomes = await setting.infer(*map(item, range(256)))
    failed = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
    assert failed == [bad]


async def test_many_bad_inputs_cost_a_bounded_number_of_calls(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(model=refusing(*range(0, 256, 2))), codec)
    outcomes = await setting.infer(*map(item, range(256)))
    assert len(setting.backend.calls) <= SPLIT_BUDGET + 1
    codes = {getattr(outcome, "code", "ok") for outcome in outcomes}
    assert codes <= {"ok", "INVALID_INPUT", "MODEL_FAILED"}
    assert all(outcome.code != "INVALID_INPUT" for outcome in outcomes[1::2]
               if isinstance(outcome, TidegateError))  # fmt: skip


async def test_only_a_refused_batch_is_split(server: Server, codec: Any, item: Item) -> None:
    def model(_: InferenceRequest) -> Any:
        raise BackendFailed("boom")

    setting = Setting(server(model=model), codec)
    outcomes = await setting.infer(*map(item, range(8)))
    assert {outcome.code for outcome in outcomes} == {"MODEL_FAILED"}
    assert len(setting.backend.calls) == 1


async def test_every_call_is_reported_with_its_size_and_outcome(
    server: Server, codec: Any, item: Item
) -> None:
    setting = Setting(server(model=refusing(3)), codec)
    await setting.infer(*map(item, range(4)))
    assert [(report.size, report.outcome) for report in setting.reports] == [
        (4, "failed"), (2, "ok"), (2, "failed"), (1, "ok"), (1, "failed"),
    ]  # fmt: skip
    assert all(report.seconds >= 0 for report in setting.reports)


async def test_a_row_that_is_an_error_goes_to_its_own_input(
    server: Server, codec: Any, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "split", lambda *_: [1, LookupError(), 3], raising=False)
    outcomes = await Setting(server(), codec).infer(*map(item, range(3)))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Outcome", "LookupError", "Outcome"]


async def test_a_closed_lane_is_unavailable(server: Server, codec: Any, item: Item) -> None:
    setting = Setting(server(), codec)
    await setting.lane.close(0)
    (error,) = await setting.infer(item(1))
    assert error.code == "MODEL_UNAVAILABLE"


def test_calls_of_dear_inputs_become_as_small_as_the_deadline_asks() -> None:
    pace = Pace(deadline_s=3.0)
    assert pace.fit("long") == UNBOUNDED
    pace.learn("long", 64, 6.4)
    assert pace.fit("long") == 10
    for _ in range(40):
        pace.learn("long", 10, 5.0)
    assert pace.fit("long") == 2
    for _ in range(40):
        pace.learn("long", 2, 0.002)
    assert pace.fit("long") > 100
    assert pace.fit("short") == UNBOUNDED


def test_a_call_has_at_least_one_input_and_kinds_are_bounded() -> None:
    pace = Pace(deadline_s=0.001)
    for kind in range(2 * Pace.MAX_KEYS):
        pace.learn(kind, 1, 10.0)
    assert pace.fit(0) == 1
    assert pace.fit(2 * Pace.MAX_KEYS - 1) == UNBOUNDED
