"""From Triton's outputs to the answer a client reads.

A batch is decoded once; each request then takes its row. ``data`` is the answer of API v2,
``flat`` that of v1, which stays as it is for ever.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct

from control_plane.contracts.answer_kinds import KINDS, AnswerKind, Row
from control_plane.contracts.document import AnswerSpec, TensorSpec, WarningSpec
from control_plane.contracts.tensors import TensorCodec
from control_plane.errors import ModelFailed
from control_plane.types import EncodedInput, Tensor

_DTYPES: Final = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


class Warned(Struct, frozen=True):
    """A warning that goes with an answer.

    Attributes:
        code: Upper-case name.
        message: A sentence for the client, printable ASCII.
    """

    code: str
    message: str


class Answer(Struct, frozen=True):
    """One answer.

    Attributes:
        flat: The fields of API v1.
        kind: The answer's kind.
        row: What it was made from.
        warnings: What the client should know of it.
    """

    flat: dict[str, Any]
    kind: AnswerKind
    row: Row
    warnings: tuple[Warned, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """The fields of ``data`` in API v2."""
        return {**self.flat, **self.kind.further(self.row)}

    @property
    def label(self) -> str | None:
        """The class that was predicted, or that of the number; None for other kinds."""
        return self.kind.label(self.flat)


class AnswerDecoder:
    """Splits a batch's outputs into rows and makes answers of them.

    Attributes:
        outputs: Names of the tensors to ask Triton for.
        kind: The answer's kind.
    """

    def __init__(self, spec: AnswerSpec) -> None:
        self.kind = KINDS[spec.kind](spec)
        answer = tuple(spec.tensors or [spec.tensor or ""])
        answer += (spec.state,) if spec.state is not None else ()
        self._warnings: tuple[WarningSpec, ...] = tuple(spec.warnings)
        # The length of each axis of one row; None for any.
        self._shapes: dict[str, tuple[int | None, ...]] = {w.tensor: (1,) for w in spec.warnings}
        if spec.tensor is not None:
            self._shapes[spec.tensor] = (None,)
        self.outputs = tuple(dict.fromkeys([*answer, *(w.tensor for w in self._warnings)]))

    def split(self, outputs: dict[str, Tensor], size: int) -> list[Row | ModelFailed]:
        """One row an input, in order; an input whose numbers are not finite gets an error.

        Raises:
            ModelFailed: If a tensor is missing or not of the batch's size.
        """
        columns = [
            _column(name, outputs.get(name), size, self._shapes.get(name)) for name in self.outputs
        ]
        rows: list[Row | ModelFailed] = []
        for index in range(size):
            if all(finite is None or finite[index] for _, finite in columns):
                rows.append(
                    {
                        name: values[index]
                        for name, (values, _) in zip(self.outputs, columns, strict=True)
                    }
                )
            else:
                rows.append(ModelFailed("The model gave a number that is not finite"))
        return rows

    def answer(self, row: Row, inputs: dict[str, Any]) -> Answer:
        """Make the answer of one row.

        Raises:
            ModelFailed: If the model gave what the contract does not allow.
        """
        flat = self.kind.flat(row, inputs)
        if not self._warnings:
            return Answer(flat, self.kind, row)
        warnings = tuple(
            Warned(spec.code, spec.message)
            for spec in self._warnings
            if row[spec.tensor][0] < spec.below
        )
        return Answer(flat, self.kind, row, warnings)


def _column(
    name: str, tensor: Tensor | None, size: int, row_shape: tuple[int | None, ...] | None
) -> tuple[list[Any], list[bool] | None]:
    """A tensor's rows as Python values, and which of them are finite (None: all)."""
    if tensor is None:
        raise ModelFailed(f"The model gave no output {name}")
    if not tensor.shape or tensor.shape[0] != size:
        raise ModelFailed(f"The output {name} is not of the batch's size {size}")
    if row_shape is not None and not _is_numbers(tensor, row_shape):
        raise ModelFailed(f"The output {name} is not of the kind that the contract says")
    if tensor.datatype == "BYTES":
        return _strings(tensor), None
    try:
        array = np.frombuffer(tensor.data, dtype=_DTYPES[tensor.datatype]).reshape(tensor.shape)
    except (KeyError, ValueError) as error:
        raise ModelFailed(f"The output {name} does not hold its shape") from error
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist(), None
    finite = np.isfinite(array.reshape(size, -1)).all(axis=1)
    return array.tolist(), finite.tolist()


def _is_numbers(tensor: Tensor, row_shape: tuple[int | None, ...]) -> bool:
    axes = tensor.shape[1:]
    return (
        tensor.datatype != "BYTES"
        and len(axes) == len(row_shape)
        and all(wanted in {None, axis} for wanted, axis in zip(row_shape, axes, strict=True))
    )


def _strings(tensor: Tensor) -> list[Any]:
    elements, position = [], 0
    while position + 4 <= len(tensor.data):
        length = int.from_bytes(tensor.data[position : position + 4], "little")
        position += 4
        elements.append(tensor.data[position : position + length].decode(errors="replace"))
        position += length
    if position != len(tensor.data):
        raise ModelFailed(f"The output {tensor.name} is cut short")
    try:
        nested: list[Any] = np.array(elements, dtype=object).reshape(tensor.shape).tolist()
    except ValueError as error:
        raise ModelFailed(f"The output {tensor.name} does not hold its shape") from error
    return nested


class Codec:
    """What inference needs of a contract: join inputs, split outputs (``types.BatchCodec``)."""

    def __init__(self, tensors: dict[str, TensorSpec], answer: AnswerDecoder) -> None:
        self._tensors = TensorCodec(tensors)
        self._answer = answer

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output tensors that the answer is made of."""
        return self._answer.outputs

    def encode(self, inputs: dict[str, Any]) -> EncodedInput:
        """Encode completed inputs.

        Raises:
            InvalidInput: If a value does not fit its tensor.
        """
        return self._tensors.encode(inputs)

    def join(self, items: list[EncodedInput]) -> tuple[Tensor, ...]:
        """Join inputs of equal shapes into one batch."""
        return self._tensors.join(items)

    def split(self, outputs: dict[str, Tensor], size: int) -> list[Row | ModelFailed]:
        """Split a batch's outputs into one row, or one error, an input.

        Raises:
            ModelFailed: If a tensor is missing or not of the batch's size.
        """
        return self._answer.split(outputs, size)
