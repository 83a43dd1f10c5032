"""What is done with a job's inputs: a prediction, or a batch of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, structs

from control_plane.contracts.answers import Answer
from control_plane.contracts.compiler import CompiledContract
from control_plane.errors import InvalidInput, TidegateError
from control_plane.inference.lane import Lane, Outcome
from control_plane.jobs.shapes import Job, Spec
from control_plane.jobs.work.turns import Turns
from control_plane.pipeline import Prediction
from control_plane.problem import described
from control_plane.rendering import (
    item_v1,
    item_v2,
    prediction_v1,
    prediction_v2,
    whole_v1,
    whole_v2,
)

ITEMS_AT_ONCE: Final = 64
"""Items of one batch on their way: two calls of most models, and what is made ready meanwhile."""
AWAY: Final = frozenset({"MODEL_UNAVAILABLE", "OVERLOADED"})
"""Not the item's fault, and the same for the next: the batch is tried again as a whole."""


class Work(Struct, frozen=True):
    """One attempt at a job.

    Attributes:
        job: As it was claimed.
        spec: What is to be done.
        contract: Of the version that answers.
        lane: The queue to it.
        turns: The way into the lane.
        progress: Told what is done, 0 to 100.
    """

    job: Job
    spec: Spec
    contract: CompiledContract
    lane: Lane
    turns: Turns
    progress: Callable[[float], None]

    async def infer(self, inputs: dict[str, Any]) -> tuple[Answer, Outcome]:
        """The answer to valid, completed inputs.

        Raises:
            TidegateError: As ``Lane.infer`` and ``CompiledContract.answer`` do.
        """
        item = self.contract.encode(inputs)
        deadline_s = self.contract.contract.deadline_ms / 1000
        outcome = await self.turns.infer(self.lane, item, deadline_s)
        return self.contract.answer(outcome.row, inputs), outcome


class Done(Struct, frozen=True):
    """What came of a job.

    Attributes:
        body: The result, JSON.
        refund: Units of what was asked for and not done.
    """

    body: bytes
    refund: int = 0


async def predict(work: Work) -> Done:
    """One prediction; its result is what the synchronous answer would have been.

    Raises:
        TidegateError: As a prediction does.
    """
    answer, outcome = await work.infer(work.spec.inputs)
    prediction = Prediction(
        model=work.job.model,
        version=work.job.version,
        answer=answer,
        units=work.job.units,
        admission_s=0.0,
        queue_s=outcome.queue_s,
        inference_s=outcome.inference_s,
        shared=outcome.shared,
    )
    render = prediction_v1 if work.spec.major == 1 else prediction_v2
    return Done(render(prediction, work.spec.request_id))


async def batch(work: Work) -> Done:
    """A list of inputs, each validated by itself; the results are in the order of the inputs.

    With the option ``return_errors: all`` one bad item fails the batch, else it has its error and
    its part of the price goes back.

    Raises:
        TidegateError: INVALID_INPUT or another error of an item under ``all``; what is no item's
            fault in any case.
    """
    inputs: list[Any] = work.spec.inputs
    strict = work.spec.options.get("return_errors") == "all"
    if strict:
        for index, each in enumerate(inputs):
            _completed(work.contract, each, index)
    results: list[dict[str, Any]] = [{}] * len(inputs)
    errors: Counter[str] = Counter()
    left = iter(range(len(inputs)))
    at_once = min(work.spec.options.get("batch_size", ITEMS_AT_ONCE), len(inputs))
    done = 0

    async def take_turns() -> None:
        nonlocal done
        for index in left:
            try:
                results[index] = await _item(work, index)
            except TidegateError as error:
                if strict or error.code in AWAY:
                    raise
                errors[error.code] += 1
                results[index] = {"index": index, "error": described(error)}
            done += 1
            work.progress(100 * done / len(inputs))

    await _together([take_turns() for _ in range(at_once)])
    failed = errors.total()
    summary = {"total": len(inputs), "succeeded": len(inputs) - failed, "failed": failed}
    fields = {"results": results, "summary": {**summary, "errors": dict(errors)}}
    return Done(whole(work, fields), work.job.units * failed // max(1, len(inputs)))


def whole(work: Work, fields: dict[str, Any]) -> bytes:
    """The result of a job of many inputs."""
    render = whole_v1 if work.spec.major == 1 else whole_v2
    return render(work.job, fields, work.spec.request_id)


async def _item(work: Work, index: int) -> dict[str, Any]:
    inputs = _completed(work.contract, work.spec.inputs[index], index)
    try:
        answer, _ = await work.infer(inputs)
    except InvalidInput as error:
        raise _at(index, error) from None
    return (item_v1 if work.spec.major == 1 else item_v2)(index, answer)


def _completed(contract: CompiledContract, inputs: Any, index: int) -> dict[str, Any]:
    try:
        return contract.inputs.complete(inputs)
    except InvalidInput as error:
        raise _at(index, error) from None


def _at(index: int, error: InvalidInput) -> InvalidInput:
    """The same fault, named from the list that the item stands in."""
    place = f"inputs[{index}]"
    return InvalidInput(
        [
            structs.replace(
                fault,
                field=place if fault.path == "/inputs" else f"{place}.{fault.field}",
                path=fault.path.replace("/inputs", f"/inputs/{index}", 1),
            )
            for fault in error.faults
        ]
    )


async def _together(steps: list[Any]) -> None:
    """Run coroutines until all have ended, or one fails: then the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
