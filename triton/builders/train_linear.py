"""Trains sentiment v1.0.0, the linear model, and writes its ONNX file and card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cards
import numpy as np
import onnxruntime
from metrics import Floats, fit_temperature, softmax
from sentiment_data import Texts
from sentiment_linear import INVERSE_REGULARISATION, MIN_DOCUMENTS, Linear, to_onnx, train

SOURCE_WEIGHTS = {"tweets": 1.0, "icwsm": 0.6, "lexicon": 1.0}
MAX_DIFFERENCE = 1e-5
"""Largest difference of a probability between the ONNX file and the trained model."""

LIMITS = [
    "English only. Trained on tweets of 2014 and 2015 about airlines, cars, phones and football, "
    "and on snippets of film, product and newspaper texts: other subjects and newer "
    "words are less certain.",
    "Knows words, pairs of neighbours and pairs with one word between. It misses longer negations, "
    "irony and comparisons.",
    "A text without known words is answered with the prior; KNOWN_TERMS is then 0.",
    "The neutral class is rare in film and product reviews, and its figures there are weak.",
    "People label such texts with much disagreement.",
    "ICWSM figures are of held-out texts of genres that it was trained on; only UCI is wholly new. "
    "A few settings were chosen with these figures in sight, so they are slightly optimistic.",
]


def run(sources: Mapping[str, Texts], repository: Path) -> None:
    """Train, check and write ``sentiment_linear``'s ONNX file and card.

    Raises:
        RuntimeError: The ONNX file disagrees with the trained model.
    """
    raw = fit(sources)
    temperature = validated_temperature(sources, raw)
    model = raw.tempered(temperature)
    serialised = to_onnx(model).SerializeToString(deterministic=True)
    difference = check(model, serialised, [t for s in sources.values() for t in s.texts])
    folder = repository / "sentiment_linear" / "1"
    (folder / "model.onnx").write_bytes(serialised)
    held_out = {n: model.logits(s.part(2)[0]) for n, s in sources.items() if 2 in s.split}
    cards.write(folder / "card.yaml", _card(sources, held_out, temperature, difference))
    print(f"v1.0.0: {len(serialised)} bytes, ONNX within {difference:.1e}", flush=True)


def fit(sources: Mapping[str, Texts]) -> Linear:
    """Train on the training part of every source that has one."""
    texts: list[str] = []
    labels, weights = [], []
    for name, source in sources.items():
        own_texts, own_labels = source.part(0)
        if own_texts:
            texts += own_texts
            labels.append(own_labels)
            weights.append(np.full(len(own_texts), SOURCE_WEIGHTS[name.split("/")[0]]))
    print(f"training the linear model on {len(texts)} texts", flush=True)
    return train(texts, np.concatenate(labels), np.concatenate(weights))


def validated_temperature(sources: Mapping[str, Texts], model: Linear) -> float:
    """Return the temperature that fits the validation parts best."""
    parts = [s.part(1) for s in sources.values() if 1 in s.split]
    logits = np.concatenate([model.logits(texts) for texts, _ in parts])
    return fit_temperature(logits, np.concatenate([labels for _, labels in parts]))


def check(model: Linear, serialised: bytes, texts: list[str]) -> float:
    """Return the largest difference between the ONNX graph and the reference.

    Raises:
        RuntimeError: It is above :data:`MAX_DIFFERENCE`.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    texts = [*texts, "", "…", "日本", "\n", "É ÉTÉ", "a", "good " * 200]
    answers: list[Floats] = []
    for start in range(0, len(texts), 64):
        batch = np.array(texts[start : start + 64], dtype=object)[:, None]
        answers.append(session.run(["PROBABILITIES"], {"TEXT": batch})[0])
    difference = float(np.abs(np.concatenate(answers) - softmax(model.logits(texts))).max())
    if difference > MAX_DIFFERENCE:
        raise RuntimeError(f"ONNX differs from the model by {difference}, at most {MAX_DIFFERENCE}")
    return difference


def _card(
    sources: Mapping[str, Texts], logits: cards.Logits, temperature: float, difference: float
) -> dict[str, Any]:
    return {
        "model": "sentiment",
        "version": "v1.0.0",
        "summary": "Logistic regression over binary TF-IDF of words and pairs of words.",
        "data": cards.data_section(sources),
        "training": {
            "weights_of_sources": SOURCE_WEIGHTS,
            "inverse_regularisation": INVERSE_REGULARISATION,
            "min_documents": MIN_DOCUMENTS,
            "onnx_within": float(f"{difference:.1e}"),
        },
        "figures_on_held_out_texts": cards.figures_section(sources, logits),
        "calibration": cards.calibration_section(sources, logits, temperature),
        "limits": LIMITS,
        "licences": {"weights": "as the project", "data": "see data.packages"},
    }
