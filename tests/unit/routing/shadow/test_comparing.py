"""How far apart two predictions are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.routing.shadow.comparing import Comparison, compare
from control_plane.routing.shadow.jobs import Predicted, takes
from control_plane.telemetry.ids import new_request_id

SAME = Comparison(agreed=True, distance=0.0)
APART = Comparison(agreed=False, distance=1.0)
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def distributions(draw: st.DrawFn) -> dict[str, float]:
    weights = draw(st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any))
    return {label: weight / sum(weights) for label, weight in zip("abc", weights, strict=True)}


predictions = st.one_of(
    st.builds(
        lambda label, shares: Predicted(label=label, probabilities=shares),
        st.sampled_from("abc"),
        st.none() | distributions(),
    ),
    st.builds(lambda number: Predicted(number=number), finite),
    st.builds(lambda vector: Predicted(vector=vector), st.lists(finite, max_size=4)),
)


@given(predictions, predictions)
def test_a_distance_is_of_0_to_1_and_the_same_from_both_sides(
    first: Predicted, second: Predicted
) -> None:
    found, turned = compare(first, second), compare(second, first)
    assert found is not None
    assert turned is not None
    assert 0 <= found.distance <= 1
    assert turned.agreed == found.agreed
    assert turned.distance == pytest.approx(found.distance)


@given(predictions)
def test_what_is_the_same_agrees(prediction: Predicted) -> None:
    found = compare(prediction, prediction)
    assert found is not None
    assert found.agreed
    assert found.distance == pytest.approx(0, abs=1e-9)


def test_labels_are_as_far_apart_as_their_probabilities() -> None:
    first = Predicted(label="good", probabilities={"good": 0.6, "bad": 0.4})
    second = Predicted(label="bad", probabilities={"good": 0.45, "bad": 0.5, "ugly": 0.05})
    found = compare(first, second)
    assert found is not None
    assert not found.agreed
    assert found.distance == pytest.approx(0.15)


def test_labels_without_probabilities_are_the_same_or_not() -> None:
    assert compare(Predicted(label="a"), Predicted(label="a")) == Comparison(
        agreed=True, distance=0.0
    )
    assert compare(Predicted(label="a"), Predicted(label="b")) == Comparison(
        agreed=False, distance=1.0
    )


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [(100, 99, 0.01), (100, 50, 0.5), (0, 0, 0), (0, 1e-9, 1), (-1, 1, 1), (1e308, -1e308, 1)],
)
def test_numbers_by_their_relative_difference(first: float, second: float, distance: float) -> None:
    found = compare(Predicted(number=first), Predicted(number=second))
    assert found is not None
    assert found.distance == pytest.approx(distance)
    assert found.agreed == (distance <= 0.01)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ([1, 0], [2, 0], 0),
        ([1, 0], [0, 1], 1),
        ([1, 0], [-1, 0], 1),
        ([1, 1], [1, 0], 1 - 0.5**0.5),
        ([0, 0], [0, 0], 0),
        ([0, 0], [1, 0], 1),
        ([1], [1, 0], 1),
    ],
)
def test_vectors_by_their_cosine(first: list[float], second: list[float], distance: float) -> None:
    found = compare(Predicted(vector=first), Predicted(vector=second))
    assert found is not None
    assert found.distance == pytest.approx(distance)


def test_different_kinds_disagree_and_nothing_cannot_be_compared() -> None:
    assert compare(Predicted(number=1.0), Predicted(label="1")) == Comparison(
        agreed=False, distance=1.0
    )
    assert compare(Predicted(number=1.0), Predicted()) == APART
    assert compare(Predicted(), Predicted()) is None


def test_a_share_of_the_requests_is_taken_and_always_the_same() -> None:
    ids = [new_request_id() for _ in range(20_000)]
    taken = [one for one in ids if takes(one, 0.25)]
    assert 4700 <= len(taken) <= 5300
    assert all(takes(one, 0.25) and takes(one, 0.5) and takes(one, 1.0) for one in taken)
    assert not any(takes(one, 0.0) for one in ids)
    assert all(takes(one, 1.0) for one in ids)
