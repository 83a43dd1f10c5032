"""One model version's way to Triton: coalesced calls, deadlines, and bad items that fail alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Any, Final, Literal

from msgspec import Struct

from control_plane.coalesce import Closed, Coalescer, QueueFull
from control_plane.errors import (
    DeadlineExceeded,
    Fault,
    InvalidInput,
    ModelFailed,
    ModelUnavailable,
    Overloaded,
    TidegateError,
)
from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnreachable,
    ModelNotLoaded,
)
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing, BatchCodec, EncodedInput, InferenceRequest

log = logging.getLogger(__name__)

SPLIT_BUDGET: Final = 16
"""Calls that a batch which Triton calls invalid may cost beyond the first, so that one bad input
cannot multiply its cost. Enough to find one bad item of 256, or two of 16."""


UNBOUNDED: Final = 1 << 30

CallOutcome = Literal["ok", "failed", "cancelled"]
LaneName = Literal["main", "control", "shadow"]
"""``main`` takes a version's own requests, ``control`` those that are compared with a candidate's,
``shadow`` copies of requests that another version answers."""


class Outcome(Struct, frozen=True):
    """A row of the model's output and where the time went.

    Attributes:
        row: The input's part of every output tensor.
        queue_s: Seconds that the input waited for a call.
        inference_s: Seconds that its call took.
        shared: Number of inputs in its call.
    """

    row: Any
    queue_s: float
    inference_s: float
    shared: int


class CallReport(Struct, frozen=True):
    """One call to Triton, for the metrics.

    Attributes:
        size: Inputs in the call.
        seconds: How long it took.
        outcome: ``failed`` if it failed as a whole, ``cancelled`` if it was given up because nobody
            waited for it any more.
        lane: Which of the version's lanes it came from.
    """

    size: int
    seconds: float
    outcome: CallOutcome
    lane: LaneName = "main"


class Pace:
    """What an input costs, learnt from the calls, so that a call stays well within its deadline.

    A call that takes longer than its members may wait would be cancelled, the model would run to
    its end for nobody, and the next call would be as large: under overload with dear inputs (long
    texts) nothing would ever be answered in time.
    """

    SHARE: Final = 1 / 3
    """A call's part of the deadline: the rest is for waiting."""
    WEIGHT: Final = 0.2
    """Weight of the latest call in the average."""
    MAX_KEYS: Final = 256

    def __init__(self, deadline_s: float) -> None:
        """Know nothing yet.

        Args:
            deadline_s: What a request may take, seconds.
        """
        self._budget_s = deadline_s * self.SHARE
        self._cost_s: dict[Hashable, float] = {}

    def fit(self, key: Hashable) -> int:
        """Inputs of a kind that one call can take in time, at least 1."""
        cost_s = self._cost_s.get(key)
        return UNBOUNDED if cost_s is None else max(1, int(self._budget_s / cost_s))

    def learn(self, key: Hashable, size: int, seconds: float) -> None:
        """Note what a call of so many inputs took, also if it was given up."""
        cost_s = max(seconds / size, 1e-6)
        known = self._cost_s.get(key)
        if known is not None:
            self._cost_s[key] = known + self.WEIGHT * (cost_s - known)
        elif len(self._cost_s) < self.MAX_KEYS:
            self._cost_s[key] = cost_s


def _kind(item: EncodedInput) -> Hashable:
    """Inputs of one kind may share a call."""
    return (item.shapes, item.bucket)


class Lane:
    """Takes the requests of one model version to Triton."""

    def __init__(
        self,
        backing: Backing,
        codec: BatchCodec,
        pool: BackendPool,
        *,
        max_batch: int,
        slots: int,
        max_waiting: int,
        report: Callable[[CallReport], None],
        deadline_s: float = 60.0,
        name: LaneName = "main",
        gives_way: Callable[[], bool] | None = None,
    ) -> None:
        """Set the bounds; see :class:`Coalescer`.

        Args:
            backing: The Triton model and version.
            codec: Joins inputs and splits outputs.
            pool: The Triton servers.
            max_batch: Inputs of a call; the model's ``max_batch_size``.
            slots: Calls in flight.
            max_waiting: Inputs that may wait.
            report: Told of every call.
            deadline_s: What a request may take, seconds.
            name: Which of the version's lanes this is.
            gives_way: Says true while inputs are dropped, those that wait included.
        """
        self._name = name
        self._gives_way = gives_way
        self._backing = backing
        self._codec = codec
        self._pool = pool
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(deadline_s)
        self._coalescer: Coalescer[EncodedInput, Any] = Coalescer(
            self._run,
            max_batch=max_batch,
            slots=slots,
            max_waiting=max_waiting,
            fit=self._pace.fit,
        )

    def limit(self, max_batch: int) -> None:
        """Put at most so many inputs into each further call."""
        self._coalescer.max_batch = max_batch

    @property
    def waiting(self) -> int:
        """Inputs that wait for a call."""
        return self._coalescer.waiting

    @property
    def behind(self) -> bool:
        """True if more inputs wait than a call takes."""
        return self._coalescer.waiting > self._coalescer.max_batch

    async def infer(self, item: EncodedInput, deadline: float, *, later: bool = False) -> Outcome:
        """Run one input through the model.

        Args:
            item: The encoded input.
            deadline: Event-loop time by which the answer is wanted, seconds.
            later: True if others go first.

        Raises:
            TidegateError: OVERLOADED, DEADLINE_EXCEEDED, MODEL_UNAVAILABLE, MODEL_FAILED or
                INVALID_INPUT.
        """
        if self._gives_way is not None and self._gives_way():
            raise Overloaded("Others go first")
        try:
            member = self._coalescer.enter(item, _kind(item), deadline, later=later)
            row = await self._coalescer.wait(member)
        except QueueFull:
            raise Overloaded("Too many requests are waiting for this model version") from None
        except TimeoutError:
            raise DeadlineExceeded("The answer did not come within the deadline") from None
        except Closed:
            raise ModelUnavailable("The server is shutting down") from None
        return Outcome(
            row=row,
            queue_s=member.dispatched - member.arrived,
            inference_s=perf_counter() - member.dispatched,
            shared=member.shared,
        )

    async def close(self, timeout_s: float) -> None:
        """Finish what is here within some seconds and take no more."""
        await self._coalescer.close(timeout_s)

    async def _run(self, items: list[EncodedInput], deadline: float) -> list[Any]:
        if self._gives_way is not None and self._gives_way():
            return [Overloaded("Others go first")] * len(items)
        return await self._split(items, deadline, [SPLIT_BUDGET])

    async def _split(
        self, items: list[EncodedInput], deadline: float, budget: list[int]
    ) -> list[Any]:
        """Call, and if Triton calls the batch invalid (and only then) try its halves."""
        try:
            return await self._call(items, deadline)
        except BackendRejected as error:
            if len(items) == 1:
                log.warning("input refused by triton", extra={"reason": str(error)[:200]})
                return [_refused()]
            if budget[0] < 2:
                return [ModelFailed("The model refused the batch")] * len(items)
            budget[0] -= 2
            middle = len(items) // 2
            first = await self._split(items[:middle], deadline, budget)
            return first + await self._split(items[middle:], deadline, budget)
        except BackendError as error:
            return [self._translate(error)] * len(items)

    async def _call(self, items: list[EncodedInput], deadline: float) -> list[Any]:
        started = perf_counter()
        request = InferenceRequest(
            backing=self._backing,
            inputs=self._codec.join(items),
            outputs=self._codec.outputs,
            timeout_s=max(0.001, deadline - self._loop.time()),
        )
        outcome: CallOutcome = "failed"
        try:
            outputs = await self._pool.infer(request)
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = "cancelled"
            self._pace.learn(_kind(items[0]), len(items), perf_counter() - started)
            raise
        finally:
            seconds = perf_counter() - started
            self._report(CallReport(len(items), seconds, outcome, self._name))
        self._pace.learn(_kind(items[0]), len(items), perf_counter() - started)
        return self._codec.split(outputs, len(items))

    def _translate(self, error: BackendError) -> TidegateError:
        match error:
            case BackendBusy():
                return Overloaded("The model's queue is full")
            case BackendTimeout():
                return DeadlineExceeded("The answer did not come within the deadline")
            case BackendUnreachable() | ModelNotLoaded():
                return ModelUnavailable("No healthy server has this model version loaded")
            case _:
                extra = {"backing": str(self._backing), "reason": str(error)[:500]}
                log.error("model failed", extra=extra)
                return ModelFailed("The model failed on this request")


def _refused() -> InvalidInput:
    return InvalidInput([Fault(field="inputs", issue="was refused by the model", path="/inputs")])
