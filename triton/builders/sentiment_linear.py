"""Sentiment v1: a linear model over weighted n-grams, as one ONNX graph that takes text.

A text is lower-cased (ASCII) and cut into tokens by :data:`PATTERN`. Its features are its distinct
words, pairs of neighbours and pairs with one word between them, each weighted by its inverse
document frequency, the vector scaled to length one: TF-IDF with binary counts, so that shouting a
word fifty times does not make the model fifty times as sure. The graph looks each n-gram up in a
table of weights and adds the rows, so its cost follows the length of the text and not that of the
vocabulary: a dense TF-IDF vector costs about ten times as much.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx
from metrics import Floats, Integers
from onnx import TensorProto, helper, numpy_helper
from scipy import sparse
from sklearn.linear_model import LogisticRegression

PATTERN = r"https?://[^\s]+|@[a-z0-9_]+|[a-z0-9]+(?:'[a-z]+)?|[!?]+|[:;=]-?[()dp/]|<3"
"""Links, mentions, words, exclamation and question marks, emoticons. RE2 and Python agree on it."""

MIN_DOCUMENTS = 3
INVERSE_REGULARISATION = 2.0

_FIND = re.compile(PATTERN)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

Gram = tuple[str, ...]


@dataclass(frozen=True)
class Linear:
    """A trained model. Feature 0 stands for everything unknown and weighs nothing.

    Attributes:
        features: N-gram (``(word,)``, ``(word, next)`` or ``(word, "", next but one)``) to its
            index; the words come first.
        table: float16 ``[1 + features, 4]``: the weights of the three classes, times the inverse
            document frequency, and that frequency itself.
        bias: float32 ``[3]``.
    """

    features: dict[Gram, int]
    table: npt.NDArray[np.float16]
    bias: npt.NDArray[np.float32]

    def logits(self, texts: list[str]) -> Floats:
        """Return logits ``[N, 3]``: the reference that the ONNX graph is held against."""
        present = _present(texts, self.features)
        table = self.table.astype(np.float64)
        scale = np.sqrt(np.maximum(present @ table[:, 3] ** 2, 1.0))
        return np.asarray((present @ table[:, :3]) / scale[:, None] + self.bias)

    def tempered(self, temperature: float) -> Linear:
        """Return the model whose logits are divided by ``temperature``."""
        table = self.table.astype(np.float32)
        table[:, :3] /= temperature
        return Linear(self.features, table.astype(np.float16), self.bias / np.float32(temperature))


def grams(text: str) -> set[Gram]:
    """Return the distinct n-grams of a text."""
    words = _FIND.findall(text.translate(_LOWER))
    found: set[Gram] = {(word,) for word in words}
    found.update(pairwise(words))
    found.update((first, "", last) for first, last in zip(words, words[2:], strict=False))
    return found


def train(texts: list[str], labels: Integers, weights: Floats) -> Linear:
    """Fit the model.

    Args:
        texts: N texts.
        labels: ``[N]``, 0 negative, 1 neutral, 2 positive.
        weights: ``[N]``, how much each text counts.
    """
    documents = Counter(gram for text in texts for gram in grams(text))
    kept = [gram for gram, count in documents.items() if count >= MIN_DOCUMENTS]
    features = {gram: 1 + i for i, gram in enumerate(sorted(kept, key=lambda g: (len(g), g)))}
    frequency = np.zeros(1 + len(features))
    for gram, index in features.items():
        frequency[index] = 1.0 + np.log((1 + len(texts)) / (1 + documents[gram]))
    present = _present(texts, features)
    scale = 1.0 / np.sqrt(np.maximum(present @ frequency**2, 1.0))
    scaled = sparse.diags(scale) @ present @ sparse.diags(frequency)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=500)
    model.fit(scaled, labels, sample_weight=weights)
    table = np.column_stack([model.coef_.T * frequency[:, None], frequency]).astype(np.float16)
    return Linear(features, table, model.intercept_.astype(np.float32))


def to_onnx(model: Linear) -> onnx.ModelProto:
    """Return the graph: ``TEXT`` string ``[N, 1]`` to ``PROBABILITIES`` float32 ``[N, 3]``.

    A second output, ``KNOWN_TERMS`` float32 ``[N, 1]``, counts the distinct n-grams that the model
    has weights for. With none of them the answer is the prior alone.
    """
    text = helper.make_tensor_value_info("TEXT", TensorProto.STRING, ["batch", 1])
    outputs = [
        helper.make_tensor_value_info("PROBABILITIES", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("KNOWN_TERMS", TensorProto.FLOAT, ["batch", 1]),
    ]
    nodes = [*_word_nodes(model), *_pair_nodes(model), *_distinct_nodes(), *_score_nodes()]
    graph = helper.make_graph(nodes, "sentiment_linear", [text], outputs, _constants(model))
    opsets = [("", 17), ("ai.onnx.ml", 3), ("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets])
    proto.ir_version = 8
    proto.producer_name = "tidegate"
    return proto


def _present(texts: list[str], features: dict[Gram, int]) -> sparse.csr_matrix:
    rows, columns = [], []
    for row, text in enumerate(texts):
        known = [features[gram] for gram in grams(text) if gram in features]
        rows += [row] * len(known)
        columns += known
    shape = (len(texts), 1 + len(features))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def _words(model: Linear) -> list[str]:
    return [gram[0] for gram in model.features if len(gram) == 1]


def _word_nodes(model: Linear) -> list[onnx.NodeProto]:
    """Text to word indices ``[N, tokens + 2]``; the two zeros make the pairs of a short text."""
    words = _words(model)
    node = helper.make_node
    return [
        node("Reshape", ["TEXT", "flat"], ["texts"]),
        # The locale "C" exists on every server, and PATTERN needs no more than ASCII.
        node("StringNormalizer", ["texts"], ["lower"], case_change_action="LOWER", locale="C"),
        node(
            "Tokenizer",
            ["lower"],
            ["tokens"],
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="",
            tokenexp=PATTERN,
        ),
        node(
            "LabelEncoder",
            ["tokens"],
            ["token_ids"],
            domain="ai.onnx.ml",
            keys_strings=words,
            values_int64s=range(1, 1 + len(words)),
            default_int64=0,
        ),
        node("Pad", ["token_ids", "two_more"], ["ids"]),
    ]


def _pair_nodes(model: Linear) -> list[onnx.NodeProto]:
    """Word indices to pair indices, found under the key ``gap * size**2 + first * size + last``."""
    words = {word: 1 + i for i, word in enumerate(_words(model))}
    size = 1 + len(words)
    pairs = {
        (len(gram) - 2) * size**2 + words[gram[0]] * size + words[gram[-1]]: index
        for gram, index in model.features.items()
        if len(gram) > 1
    }
    node = helper.make_node
    return [
        node("Slice", ["ids", "zero", "minus_one", "one"], ["first_1"]),
        node("Slice", ["ids", "one", "end", "one"], ["last_1"]),
        node("Slice", ["ids", "zero", "minus_two", "one"], ["first_2"]),
        node("Slice", ["ids", "two", "end", "one"], ["last_2"]),
        node("Mul", ["first_1", "size"], ["high_1"]),
        node("Mul", ["first_2", "size"], ["high_2"]),
        node("Add", ["high_1", "last_1"], ["key_1"]),
        node("Add", ["high_2", "last_2"], ["near_key_2"]),
        node("Add", ["near_key_2", "gap"], ["key_2"]),
        node("Concat", ["key_1", "key_2"], ["keys"], axis=1),
        node(
            "LabelEncoder",
            ["keys"],
            ["pair_ids"],
            domain="ai.onnx.ml",
            keys_int64s=list(pairs),
            values_int64s=list(pairs.values()),
            default_int64=0,
        ),
    ]


def _distinct_nodes() -> list[onnx.NodeProto]:
    """Indices to ``features`` ``[N, occurrences]``, where repeats of a feature are 0."""
    node = helper.make_node
    return [
        node("Concat", ["ids", "pair_ids"], ["occurrences"], axis=1),
        node("Shape", ["occurrences"], ["length"], start=1),
        node("TopK", ["occurrences", "length"], ["sorted", "order"], axis=1),
        node("Pad", ["sorted", "one_before"], ["shifted"]),
        node("Slice", ["shifted", "zero", "minus_one", "one"], ["before"]),
        node("Equal", ["sorted", "before"], ["repeat"]),
        node("Where", ["repeat", "zero", "sorted"], ["features"]),
    ]


def _score_nodes() -> list[onnx.NodeProto]:
    """Feature indices to probabilities and the number of known terms."""
    node = helper.make_node
    return [
        node("Cast", ["table"], ["rows"], to=TensorProto.FLOAT),
        node("Gather", ["rows", "features"], ["found"]),
        node("Split", ["found", "parts"], ["weights", "frequencies"], axis=2),
        node("ReduceSum", ["weights", "one"], ["sums"], keepdims=0),
        node("ReduceSumSquare", ["frequencies"], ["squares"], axes=[1], keepdims=0),
        node("Max", ["squares", "floor"], ["positive_squares"]),
        node("Sqrt", ["positive_squares"], ["scale"]),
        node("Div", ["sums", "scale"], ["scaled"]),
        node("Add", ["scaled", "bias"], ["logits"]),
        node("Softmax", ["logits"], ["PROBABILITIES"], axis=1),
        node("Sign", ["features"], ["known"]),
        node("ReduceSum", ["known", "one"], ["known_count"], keepdims=1),
        node("Cast", ["known_count"], ["KNOWN_TERMS"], to=TensorProto.FLOAT),
    ]


def _constants(model: Linear) -> list[onnx.TensorProto]:
    size = 1 + len(_words(model))
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "flat": np.array([-1]),
        "two_more": np.array([0, 0, 0, 2]),
        "one_before": np.array([0, 1, 0, 0]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "minus_one": np.array([-1]),
        "minus_two": np.array([-2]),
        "end": np.array([np.iinfo(np.int64).max]),
        "size": np.array([size]),
        "gap": np.array([size**2]),
        "parts": np.array([3, 1]),
        "floor": np.array([1.0], np.float32),
        "table": model.table,
        "bias": model.bias,
    }
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]
