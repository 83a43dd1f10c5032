"""Waits between two tries."""

from __future__ import annotations

from control_plane.inference.backoff import Backoff


def test_waits_double_up_to_the_longest() -> None:
    waits = [Backoff().delay_s(failures) for failures in range(1, 10)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_any_number_of_failures_has_a_wait() -> None:
    assert Backoff().delay_s(10_000) == 300
