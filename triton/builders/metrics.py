"""Figures that say how good and how honest class probabilities are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from sklearn.metrics import confusion_matrix, f1_score

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]

ECE_BINS = 15


def softmax(logits: Floats) -> Floats:
    """Return probabilities ``[N, C]`` of logits ``[N, C]``."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def expected_calibration_error(probabilities: Floats, labels: Integers) -> float:
    """Return the expected calibration error of the top class (Guo et al., ICML 2017).

    Args:
        probabilities: ``[N, C]``.
        labels: ``[N]``.

    Returns:
        Mean gap between confidence and accuracy over :data:`ECE_BINS` equal bins, 0 to 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.zeros(ECE_BINS)
    np.add.at(gaps, bins, confidence - right)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: Floats, labels: Integers) -> float:
    """Return the temperature that minimises the log loss of ``logits / temperature``."""

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits / np.exp(log_temperature))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def three_class(probabilities: Floats, labels: Integers) -> dict[str, Any]:
    """Return count, accuracy, macro-F1, ECE and confusion matrix (rows are the truth)."""
    found = probabilities.argmax(axis=1)
    return {
        "texts": len(labels),
        "accuracy": _rounded((found == labels).mean()),
        "macro_f1": _rounded(f1_score(labels, found, average="macro")),
        "ece": _rounded(expected_calibration_error(probabilities, labels)),
        "confusion_matrix": confusion_matrix(labels, found, labels=[0, 1, 2]).tolist(),
    }


def two_class(probabilities: Floats, labels: Integers) -> dict[str, Any]:
    """Return count and accuracy of positive against negative, the neutral probability set aside."""
    found = np.where(probabilities[:, 2] > probabilities[:, 0], 2, 0)
    answered = probabilities.argmax(axis=1)
    return {
        "texts": len(labels),
        "accuracy_two_class": _rounded((found == labels).mean()),
        "answered_neutral": _rounded((answered == 1).mean()),
    }


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
