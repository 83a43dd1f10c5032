"""Model cards: what a sentiment version was made of and how well it does, as plain YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from metrics import Floats, expected_calibration_error, softmax, three_class, two_class
from sentiment_data import ICWSM_GENRES, LABELS, PACKAGES, SPLIT_SEED, UCI_SETS, Texts, digest

HEADER = "# Written by triton/builders/train_sentiment.py: run it again instead of editing this.\n"

Logits = Mapping[str, Floats]
"""Logits ``[N, 3]`` of a source's held-out texts, by the name of the source."""


def data_section(sources: Mapping[str, Texts]) -> dict[str, Any]:
    """Return packages, split and counts of the data that a version learned from."""
    counts = {
        name: dict(
            zip(
                ("train", "validation", "test"),
                map(int, np.bincount(s.split, minlength=3)),
                strict=True,
            )
        )
        for name, s in sources.items()
    }
    packages = [
        {"name": p.name, "version": p.version, "sha256": p.sha256, "licence": p.licence}
        for p in PACKAGES
    ]
    return {
        "packages": packages,
        "sha256_of_texts_labels_and_split": digest(dict(sources)),
        "split_seed": SPLIT_SEED,
        "split": "By a hash of the text; repeats dropped; no text is in two parts.",
        "labels": list(LABELS),
        "texts": counts,
    }


def figures_section(sources: Mapping[str, Texts], logits: Logits) -> dict[str, Any]:
    """Return the figures on held-out texts: the tweets, and out of domain ICWSM and UCI.

    Args:
        sources: The data.
        logits: Of the test part of the tweets, each ICWSM genre and each UCI set.
    """
    icwsm = [f"icwsm/{genre}" for genre in ICWSM_GENRES]
    uci = [f"uci/{name}" for name in UCI_SETS]
    return {
        "tweets": _three(sources, logits, ["tweets"]),
        "icwsm": _three(sources, logits, icwsm),
        **{name: _three(sources, logits, [name]) for name in icwsm},
        "uci": _two(sources, logits, uci),
        **{name: _two(sources, logits, [name]) for name in uci},
    }


def calibration_section(
    sources: Mapping[str, Texts], logits: Logits, temperature: float
) -> dict[str, Any]:
    """Return the expected calibration error on held-out texts before and after scaling.

    Args:
        sources: The data.
        logits: As :func:`figures_section`: already divided by ``temperature``.
        temperature: Fitted on the validation part.
    """
    errors = {}
    icwsm = [f"icwsm/{genre}" for genre in ICWSM_GENRES]
    for name, names in {"tweets": ["tweets"], "icwsm": icwsm}.items():
        stacked, labels = _stack(sources, logits, names)
        before = expected_calibration_error(softmax(stacked * temperature), labels)
        after = expected_calibration_error(softmax(stacked), labels)
        errors[name] = {"ece_before": round(before, 4), "ece_after": round(after, 4)}
    return {
        "method": "temperature scaling, fitted on the validation part",
        "temperature": round(temperature, 4),
        **errors,
    }


def write(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card, replacing the file at ``path`` in one step."""
    text = HEADER + yaml.safe_dump(
        dict(card), sort_keys=False, width=100, allow_unicode=True, default_flow_style=None
    )
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _three(sources: Mapping[str, Texts], logits: Logits, names: list[str]) -> dict[str, Any]:
    stacked, labels = _stack(sources, logits, names)
    return three_class(softmax(stacked), labels)


def _two(sources: Mapping[str, Texts], logits: Logits, names: list[str]) -> dict[str, Any]:
    stacked, labels = _stack(sources, logits, names)
    return two_class(softmax(stacked), labels)


def _stack(
    sources: Mapping[str, Texts], logits: Logits, names: list[str]
) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    labels = np.concatenate([sources[name].part(2)[1] for name in names])
    return np.concatenate([logits[name] for name in names]), labels
