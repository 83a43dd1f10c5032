"""From the truth about a prediction to a score, or to a fault that says what would be taken."""

from __future__ import annotations

import pytest

from control_plane.errors import InvalidInput
from control_plane.routing.feedback.accuracy import read_accuracy
from control_plane.routing.feedback.kept import Kept
from control_plane.routing.feedback.service import Truth, score_of

KEPT = Kept("wine", "v1.0.0", "good")
LABELS = ("good", "bad")


def test_a_label_is_right_or_wrong() -> None:
    assert score_of(KEPT, Truth(label="good"), LABELS) == 1
    assert score_of(KEPT, Truth(label="bad"), LABELS) == 0


@pytest.mark.parametrize("score", [0.0, 0.25, 1.0])
def test_a_score_is_taken_as_it_is_for_any_kind_of_model(score: float) -> None:
    assert score_of(KEPT, Truth(score=score), LABELS) == score
    assert score_of(Kept("house", "v1.0.0"), Truth(score=score), None) == score


def test_a_label_of_another_model_is_refused_with_those_that_are_taken() -> None:
    with pytest.raises(InvalidInput) as refused:
        score_of(KEPT, Truth(label="x" * 200), LABELS)
    (fault,) = refused.value.faults
    assert (fault.field, fault.path, fault.allowed) == ("label", "/label", ["good", "bad"])
    assert fault.received == "x" * 64


def test_a_long_list_of_labels_is_not_sent_along() -> None:
    with pytest.raises(InvalidInput) as refused:
        score_of(KEPT, Truth(label="?"), [f"l{n}" for n in range(1000)])
    assert refused.value.faults[0].allowed is None


@pytest.mark.parametrize(("kept", "labels"), [(KEPT, None), (Kept("house", "v1.0.0"), LABELS)])
def test_without_labels_only_a_score_is_taken(kept: Kept, labels: tuple[str, ...] | None) -> None:
    with pytest.raises(InvalidInput, match="Input validation failed") as refused:
        score_of(kept, Truth(label="good"), labels)
    assert "give a score" in refused.value.faults[0].issue


def test_accuracy_of_sums_that_a_crash_left_apart_stays_a_share() -> None:
    low = read_accuracy({b"labelled": b"2", b"score": b"-1000000"})
    high = read_accuracy({b"labelled": b"2", b"score": b"3000000"})
    assert low is not None
    assert high is not None
    assert (low.value, high.value) == (0.0, 1.0)
    assert read_accuracy({}) is None
    assert read_accuracy({b"score": b"1000000"}) is None
