"""Encoding of inputs: what a dtype holds comes back as it was, what it cannot hold is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.contracts.answers import AnswerDecoder, Codec
from control_plane.contracts.document import AnswerSpec, TensorSpec
from control_plane.contracts.tensors import FORMATS, RANGES, TensorCodec
from control_plane.errors import InvalidInput

INTEGERS = [name for name in RANGES if "INT" in name]
FLOATS = {"FP16": 16, "FP32": 32, "FP64": 64}
NUMPY = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
EVERY = [*FORMATS, "BYTES"]


def half(bits: int) -> float:
    return float(np.uint16(bits).view(np.float16))


def elements(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(max_size=8)
    if datatype == "FP16":
        return st.integers(0, 0x7BFF).map(half) | st.integers(0x8000, 0xFBFF).map(half)
    if datatype in FLOATS:
        return st.floats(width=FLOATS[datatype], allow_nan=False, allow_infinity=False)
    low, high = RANGES[datatype]
    return st.integers(int(low), int(high))


def codec(datatype: str, shape: list[int], source: str | list[str] = "x") -> Codec:
    specs = {"X": TensorSpec(source, datatype, shape)}
    return Codec(specs, AnswerDecoder(AnswerSpec(kind="tensors", tensors=["X"])))


def round_trip(made: Codec, batch: list[dict[str, Any]]) -> list[Any]:
    """What comes back if the model gives its input as its output."""
    (tensor,) = made.join([made.encode(inputs) for inputs in batch])
    rows = made.split({"X": tensor}, len(batch))
    return [row["X"] for row in rows]


@pytest.mark.parametrize("datatype", EVERY)
@given(data=st.data())
def test_a_batch_of_scalars_comes_back_as_it_was(datatype: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(elements(datatype), min_size=1, max_size=5))
    back = round_trip(codec(datatype, [1]), [{"x": value} for value in values])
    assert back == [[value] for value in values]


@pytest.mark.parametrize("datatype", EVERY)
@given(data=st.data())
def test_a_batch_of_arrays_comes_back_as_it_was(datatype: str, data: st.DataObject) -> None:
    row = st.lists(elements(datatype), min_size=3, max_size=3)
    batch = data.draw(st.lists(st.lists(row, min_size=2, max_size=2), min_size=1, max_size=3))
    assert round_trip(codec(datatype, [-1, 3]), [{"x": item} for item in batch]) == batch


@pytest.mark.parametrize("datatype", EVERY)
@given(data=st.data())
def test_columns_come_back_in_the_order_of_the_contract(datatype: str, data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.fixed_dictionaries(dict.fromkeys("abc", elements(datatype))), min_size=1)
    )
    back = round_trip(codec(datatype, [3], ["c", "a", "b"]), rows)
    assert back == [[row["c"], row["a"], row["b"]] for row in rows]


@pytest.mark.parametrize("datatype", sorted(NUMPY))
@given(data=st.data())
def test_the_bytes_are_those_of_numpy(datatype: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(elements(datatype), min_size=1, max_size=4))
    encoded = codec(datatype, [-1]).encode({"x": values})
    assert encoded.parts == (np.array(values, dtype=NUMPY[datatype]).tobytes(),)
    assert encoded.shapes == ((len(values),),)


def test_text_is_encoded_with_its_length_in_bytes() -> None:
    assert codec("BYTES", [1]).encode({"x": "größer"}).parts == (
        b"\x08\x00\x00\x00" + "größer".encode(),
    )


@pytest.mark.parametrize("datatype", INTEGERS)
def test_the_ends_of_an_integer_dtype_fit(datatype: str) -> None:
    low, high = RANGES[datatype]
    assert round_trip(codec(datatype, [1]), [{"x": low}, {"x": high}]) == [[low], [high]]


@pytest.mark.parametrize("shape", [[1], [-1]])
@pytest.mark.parametrize("datatype", INTEGERS)
def test_one_beyond_the_end_of_an_integer_dtype_is_refused(datatype: str, shape: list[int]) -> None:
    low, high = RANGES[datatype]
    for value in (low - 1, high + 1, 10**30, float(high) * 4):
        inputs = {"x": value if shape == [1] else [value]}
        with pytest.raises(InvalidInput) as caught:
            codec(datatype, shape).encode(inputs)
        assert f"does not fit {datatype}" in caught.value.faults[0].issue


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("FP16", 65536.0), ("FP16", -1e9), ("FP32", 1e300), ("FP32", -3.5e38), ("FP32", 10**60),
     ("FP64", 10**400)],
)  # fmt: skip
def test_a_number_that_would_turn_into_infinity_is_refused(datatype: str, value: float) -> None:
    for shape, given_value in ([1], value), ([-1], [0, value]):
        with pytest.raises(InvalidInput):
            codec(datatype, shape).encode({"x": given_value})


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**45), 10**45))
def test_what_fp32_takes_is_finite(value: float) -> None:
    made = codec("FP32", [1])
    try:
        encoded = made.encode({"x": value})
    except InvalidInput:
        assert abs(value) > 3.4e38
        return
    assert math.isfinite(np.frombuffer(encoded.parts[0], "<f4")[0])


@pytest.mark.parametrize("datatype", INTEGERS)
def test_a_whole_float_is_an_integer_as_json_schema_has_it(datatype: str) -> None:
    assert round_trip(codec(datatype, [1]), [{"x": 3.0}]) == [[3]]


@pytest.mark.parametrize(
    ("shape", "value", "field"),
    [
        ([2, 2], [[1, 2], [3]], "x[1]"),
        ([-1, -1], [[1, 2], [3]], "x[1]"),
        ([3], [1, 2], "x"),
        ([-1], [], "x"),
        ([-1, 2], [[1, 2], []], "x[1]"),
        ([2], [[1], [2]], "x[0]"),
        ([2], 5, "x"),
        ([2, 2], [1, 2], "x[0]"),
        ([-1], [1, None], "x[1]"),
        ([-1], [1, {"a": 1}], "x[1]"),
    ],
)
def test_an_array_of_another_shape_is_refused_by_its_place(
    shape: list[int], value: Any, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        codec("FP32", shape).encode({"x": value})
    assert caught.value.faults[0].field == field


def test_a_number_that_does_not_fit_is_named_by_its_index() -> None:
    with pytest.raises(InvalidInput) as caught:
        codec("INT8", [2, -1]).encode({"x": [[1, 2, 3], [4, 5, 600]]})
    fault = caught.value.faults[0]
    assert (fault.field, fault.path, fault.received) == ("x[1][2]", "/inputs/x/1/2", 600)


def test_a_column_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        codec("INT8", [2], ["a", "b"]).encode({"a": 1, "b": 300})
    assert caught.value.faults[0].field == "b"


def test_several_tensors_keep_the_order_of_the_contract() -> None:
    made = TensorCodec({"B": TensorSpec("b", "INT8", [1]), "A": TensorSpec("a", "BYTES", [1])})
    tensors = made.join([made.encode({"a": "x", "b": 1}), made.encode({"a": "y", "b": 2})])
    assert [(tensor.name, tensor.shape) for tensor in tensors] == [("B", (2, 1)), ("A", (2, 1))]
    assert tensors[0].data == b"\x01\x02"


def test_inputs_of_other_shapes_do_not_pass_for_equal() -> None:
    made = codec("FP32", [-1])
    assert made.encode({"x": [1]}).shapes != made.encode({"x": [1, 2]}).shapes
