"""What a server has to answer properly before a version is trusted there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, Final

from msgspec import Struct

from control_plane.contracts.answer_kinds import Row
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.document import TensorSpec
from control_plane.errors import TidegateError
from control_plane.types import EncodedInput

_FP32_BYTES: Final = 4


class Trial(Struct, frozen=True):
    """An input and what its answer is held against.

    Attributes:
        item: The encoded input.
        complaint: Says what is wrong with its row of the model's output; None if nothing is.
    """

    item: EncodedInput
    complaint: Callable[[Row], str | None]


def trials(compiled: CompiledContract) -> list[Trial]:
    """The contract's examples; of a model that only takes objects one part that is all zeros."""
    if not compiled.is_answered_at_once:
        item = _zeros(list(compiled.contract.tensors.values()))
        return [Trial(item, partial(_of_probabilities, compiled.contract.answer.tensor or ""))]
    filled = [compiled.inputs.complete(example) for example in compiled.contract.examples]
    return [
        Trial(compiled.encode(inputs), partial(_of_answer, compiled, inputs)) for inputs in filled
    ]


def _zeros(specs: list[TensorSpec]) -> EncodedInput:
    parts = tuple(bytes(_FP32_BYTES * prod(spec.shape)) for spec in specs)
    return EncodedInput(parts, tuple(tuple(spec.shape) for spec in specs))


def _of_probabilities(tensor: str, row: Row) -> str | None:
    wrong = [value for value in row[tensor] if not 0 <= value <= 1]
    return f"{tensor} holds {wrong[0]:g}, which is no probability" if wrong else None


def _of_answer(compiled: CompiledContract, inputs: dict[str, Any], row: Row) -> str | None:
    try:
        compiled.answer(row, inputs)
    except TidegateError as error:
        return str(error)
    return None
