"""How far apart what two versions said of one request is, from 0 (the same) to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from control_plane.routing.shadow.jobs import Predicted

TOLERANCE: Final = 0.01
"""Numbers and vectors no further apart than this agree."""


class Comparison(Struct, frozen=True):
    """The outcome of comparing two predictions.

    Attributes:
        agreed: True if both say the same: the same label, or numbers or vectors within
            :data:`TOLERANCE`.
        distance: 0 to 1: of labels the total variation of their probabilities, without
            probabilities 0 or 1; of numbers their difference over the larger one's size; of
            vectors the cosine distance, what points away from each other being 1.
    """

    agreed: bool
    distance: float


def compare(answered: Predicted, shadow: Predicted) -> Comparison | None:
    """Compare what was answered with what the shadow said.

    Predictions of different kinds disagree entirely.

    Returns:
        None if neither says anything.
    """
    kinds = _kind(answered), _kind(shadow)
    if kinds == (None, None):
        return None
    if kinds[0] != kinds[1]:
        return Comparison(agreed=False, distance=1.0)
    if answered.label is not None:
        return _labels(answered, shadow)
    if answered.number is not None and shadow.number is not None:
        distance = _relative(answered.number, shadow.number)
    else:
        distance = _cosine(answered.vector or (), shadow.vector or ())
    return Comparison(agreed=distance <= TOLERANCE, distance=distance)


def _kind(predicted: Predicted) -> str | None:
    kinds = ("label", "number", "vector")
    return next((kind for kind in kinds if getattr(predicted, kind) is not None), None)


def _labels(answered: Predicted, shadow: Predicted) -> Comparison:
    agreed = answered.label == shadow.label
    if answered.probabilities is None or shadow.probabilities is None:
        return Comparison(agreed, float(not agreed))
    return Comparison(agreed, total_variation(answered.probabilities, shadow.probabilities))


def total_variation(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Half the sum of the differences of the shares of two distributions, 0 to 1."""
    labels = first.keys() | second.keys()
    apart = math.fsum(abs(first.get(label, 0.0) - second.get(label, 0.0)) for label in labels)
    return min(apart / 2, 1.0)


def _relative(first: float, second: float) -> float:
    larger = max(abs(first), abs(second))
    # Halved first: the difference of two huge numbers may be none that a float can hold.
    return min(abs(first / 2 - second / 2) / larger * 2, 1.0) if larger else 0.0


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    if len(first) != len(second):
        return 1.0
    sizes = math.hypot(*first), math.hypot(*second)
    if not all(sizes):
        return float(sizes[0] != sizes[1])
    cosine = math.fsum(a / sizes[0] * (b / sizes[1]) for a, b in zip(first, second, strict=True))
    return min(max(1 - cosine, 0.0), 1.0)
