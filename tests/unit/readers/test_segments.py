"""Segments of made-up probabilities: every rule by which windows become speech or a pause."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control_plane.readers.speech.segments import LATENESS_S, WINDOW_S, Bounds, Row, Segmenter

PLAIN = {"threshold": 0.5, "min_silence_s": 0.15, "min_speech_s": 0.1, "pad_s": 0.0}


def heard(probabilities: list[float], **bounds: float) -> list[Row]:
    segmenter = Segmenter(Bounds(**{**PLAIN, **bounds}))
    segmenter.feed(probabilities)
    return segmenter.segments(len(probabilities) * WINDOW_S)


def near(value: float, wanted: float) -> bool:
    return abs(value - wanted) < 0.001


def test_a_segment_has_start_end_and_mean() -> None:
    [(start, end, confidence)] = heard([0.0] * 10 + [0.8, 1.0] * 10 + [0.0] * 10)
    assert near(start, 10 * WINDOW_S)
    assert near(end, 30 * WINDOW_S - LATENESS_S)
    assert near(confidence, 0.9)


def test_a_pause_has_to_hold_enough_silence() -> None:
    def parts(*pause: float) -> int:
        return len(heard([1.0] * 20 + list(pause) + [1.0] * 20))

    assert parts(*[0.0] * 4) == 1
    assert parts(*[0.0] * 5) == 2
    assert parts(*[0.2] * 7) == 1  # each counts for .6 of a window
    assert parts(*[0.2] * 8) == 2
    assert parts(0.0, 0.0, 0.6, 0.0, 0.0) == 1  # speech between begins the count again


def test_what_is_hardly_quieter_ends_no_speech() -> None:
    assert len(heard([1.0] * 20 + [0.4] * 100 + [1.0] * 20)) == 1
    assert len(heard([1.0] * 20 + [0.34] + [0.4] * 100 + [1.0] * 20)) == 2


def test_short_speech_is_none() -> None:
    assert heard([0.0] * 10 + [1.0] * 5 + [0.0] * 10, min_speech_s=0.1) == []
    assert len(heard([0.0] * 10 + [1.0] * 6 + [0.0] * 10, min_speech_s=0.1)) == 1


def test_speech_up_to_the_end_has_no_late_end() -> None:
    [(_, end, _)] = heard([0.0] * 10 + [1.0] * 20)
    assert near(end, 30 * WINDOW_S)


def test_padding_goes_to_the_middle_of_a_pause_and_the_ends_of_the_recording() -> None:
    rows = heard([1.0] * 20 + [0.0] * 20 + [1.0] * 20 + [0.0] * 5, pad_s=5.0)
    (first, middle, _), (again, last, _) = rows
    assert (first, last) == (0.0, 65 * WINDOW_S)
    assert near(middle, again)


def test_silence_alone_is_no_segment() -> None:
    assert heard([0.0] * 100) == []
    assert heard([]) == []


PROBABILITIES = st.lists(st.sampled_from([0.0, 0.2, 0.34, 0.4, 0.5, 0.9, 1.0]), max_size=120)


@given(PROBABILITIES, st.integers(1, 30), st.sampled_from([0.0, 0.1, 0.5]))
def test_segments_are_in_order_within_the_recording_whatever_comes(
    probabilities: list[float], size: int, pad_s: float
) -> None:
    duration_s = len(probabilities) * WINDOW_S
    whole = heard(probabilities, pad_s=pad_s)
    parted = Segmenter(Bounds(**{**PLAIN, "pad_s": pad_s}))
    for at in range(0, len(probabilities), size):
        parted.feed(probabilities[at : at + size])
    assert parted.segments(duration_s) == whole
    edges = [edge for start, end, _ in whole for edge in (start, end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= duration_s + 0.001 for edge in edges)
    assert all(0 <= confidence <= 1 for _, _, confidence in whole)
