"""From validated inputs to tensors in Triton's wire form, and nothing that a dtype cannot hold.

An input is encoded to bytes by itself, when it arrives; joining a batch is then joining bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import prod
from operator import itemgetter
from typing import Any, Final

from control_plane.contracts.document import TensorSpec
from control_plane.contracts.inputs import echo, field_name, pointer
from control_plane.errors import Fault, InvalidInput
from control_plane.types import EncodedInput, Tensor

FORMATS: Final = {
    "BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
JSON_TYPES: Final = {
    "BOOL": {"boolean"},
    "BYTES": {"string"},
    **{f"FP{bits}": {"number", "integer"} for bits in (16, 32, 64)},
    **{f"{kind}{bits}": {"integer"} for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)},
}

RANGES: Final = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "FP16": (-65504.0, 65504.0),
    "FP32": (-3.4028235e38, 3.4028235e38),
    "FP64": (-1.7976931348623157e308, 1.7976931348623157e308),
}

Encoder = Callable[[dict[str, Any]], tuple[bytes, tuple[int, ...]]]


def encoder(spec: TensorSpec) -> Encoder:
    """The function that turns inputs into one tensor's bytes and shape."""
    shape = tuple(spec.shape)
    if isinstance(spec.source, list):
        return _columns(spec.source, spec.datatype, shape)
    if any(size != 1 for size in shape):
        return _array(spec.source, spec.datatype, shape)
    name = spec.source
    scalar, array = _scalar(name, spec.datatype, shape), _array(name, spec.datatype, shape)
    return lambda inputs: (array if isinstance(inputs[name], list) else scalar)(inputs)


class TensorCodec:
    """Encodes inputs one by one and joins them into batches.

    Attributes:
        names: Names of the tensors, in the contract's order.
    """

    def __init__(self, specs: dict[str, TensorSpec]) -> None:
        self.names = tuple(specs)
        self._datatypes = tuple(spec.datatype for spec in specs.values())
        self._encoders = tuple(encoder(spec) for spec in specs.values())
        widths = enumerate(spec.bucket_bytes for spec in specs.values())
        self._buckets = tuple((index, width) for index, width in widths if width)

    def encode(self, inputs: dict[str, Any]) -> EncodedInput:
        """Encode validated, completed inputs.

        Raises:
            InvalidInput: If a value does not fit its tensor's dtype or shape.
        """
        encoded = [encode(inputs) for encode in self._encoders]
        parts = tuple([part for part, _ in encoded])
        shapes = tuple([shape for _, shape in encoded])
        if not self._buckets:
            return EncodedInput(parts, shapes)
        return EncodedInput(
            parts, shapes, max(len(parts[i]) // width for i, width in self._buckets)
        )

    def join(self, items: list[EncodedInput]) -> tuple[Tensor, ...]:
        """Join inputs of equal shapes into one batch, in their order."""
        size = len(items)
        columns = zip(*[item.parts for item in items], strict=True)
        return tuple(
            Tensor(name, datatype, (size, *shape), b"".join(column))
            for name, datatype, shape, column in zip(
                self.names, self._datatypes, items[0].shapes, columns, strict=True
            )
        )


def _refuse(path: list[str | int], issue: str, value: object = None) -> InvalidInput:
    fault = Fault(field=field_name(path), issue=issue, path=pointer(path), received=echo(value))
    return InvalidInput([fault])


def _pack(datatype: str, layout: struct.Struct, values: Any) -> bytes | None:
    """Pack numbers; None if one of them does not fit the dtype."""
    try:
        return layout.pack(*values)
    except (OverflowError, struct.error):
        if datatype.startswith("FP"):
            return None
    # JSON Schema counts 3.0 among the integers.
    whole = [
        int(value) if isinstance(value, float) and value.is_integer() else value for value in values
    ]
    try:
        return layout.pack(*whole)
    except (OverflowError, struct.error):
        return None


def _misfit(path: list[str | int], datatype: str, value: object) -> InvalidInput:
    low, high = RANGES[datatype]
    return _refuse(path, f"does not fit {datatype}: must be from {low} to {high}", value)


def _fits(datatype: str, value: Any) -> bool:
    return _pack(datatype, struct.Struct("<" + FORMATS[datatype]), (value,)) is not None


def _bytes_element(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(4, "little") + data


def _columns(names: list[str], datatype: str, shape: tuple[int, ...]) -> Encoder:
    getter = itemgetter(*names) if len(names) > 1 else lambda inputs: (inputs[names[0]],)
    if datatype == "BYTES":
        return lambda inputs: (b"".join(map(_bytes_element, getter(inputs))), shape)
    layout = struct.Struct(f"<{len(names)}{FORMATS[datatype]}")

    def encode(inputs: dict[str, Any]) -> tuple[bytes, tuple[int, ...]]:
        data = _pack(datatype, layout, getter(inputs))
        if data is None:
            bad = next(name for name in names if not _fits(datatype, inputs[name]))
            raise _misfit([bad], datatype, inputs[bad])
        return data, shape

    return encode


def _scalar(name: str, datatype: str, shape: tuple[int, ...]) -> Encoder:
    if datatype == "BYTES":
        return lambda inputs: (_bytes_element(inputs[name]), shape)
    layout = struct.Struct("<" + FORMATS[datatype])

    def encode(inputs: dict[str, Any]) -> tuple[bytes, tuple[int, ...]]:
        data = _pack(datatype, layout, (inputs[name],))
        if data is None:
            raise _misfit([name], datatype, inputs[name])
        return data, shape

    return encode


def _array(name: str, datatype: str, shape: tuple[int, ...]) -> Encoder:
    def encode(inputs: dict[str, Any]) -> tuple[bytes, tuple[int, ...]]:
        flat, actual = _flatten([name], inputs[name], shape)
        if datatype == "BYTES":
            return b"".join(map(_bytes_element, flat)), actual
        data = _pack(datatype, struct.Struct(f"<{len(flat)}{FORMATS[datatype]}"), flat)
        if data is None:
            position = next(i for i, value in enumerate(flat) if not _fits(datatype, value))
            raise _misfit([name, *_index(position, actual)], datatype, flat[position])
        return data, actual

    return encode


def _flatten(
    path: list[str | int], value: Any, shape: tuple[int, ...]
) -> tuple[list[Any], tuple[int, ...]]:
    """Flatten nested arrays row-major; ``shape`` says how deep they are, -1 takes any length.

    Raises:
        InvalidInput: If the arrays are ragged, empty, or not of the shape.
    """
    if not isinstance(value, list):
        raise _refuse(path, f"must be an array of {len(shape)} dimension(s)")
    wanted = shape[0]
    if wanted not in {-1, len(value)}:
        raise _refuse(path, f"must have exactly {wanted} items, got {len(value)}")
    if not value:
        raise _refuse(path, "must have at least one item")
    if len(shape) == 1:
        for position, item in enumerate(value):
            if isinstance(item, (list, dict)) or item is None:
                raise _refuse([*path, position], "is nested deeper than the tensor")
        return value, (len(value),)
    parts = [_flatten([*path, i], item, shape[1:]) for i, item in enumerate(value)]
    inner = parts[0][1]
    for position, (_, other) in enumerate(parts):
        if other != inner:
            issue = f"makes the array ragged: shape {list(other)} beside {list(inner)}"
            raise _refuse([*path, position], issue)
    return [item for flat, _ in parts for item in flat], (len(value), *inner)


def _index(position: int, shape: tuple[int, ...]) -> list[int]:
    """The index in each dimension of a row-major position."""
    index = []
    for axis in range(len(shape)):
        stride = prod(shape[axis + 1 :])
        index.append(position // stride)
        position %= stride
    return index
