"""What is asked: the models, and for each a sequence of requests, the same for every target."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from ruamel.yaml import YAML

ROOT: Final = Path(__file__).resolve().parents[2]
TEXTS: Final = Path(__file__).with_name("texts.txt")
TARGETS: Final = ("triton", "fastapi", "tidegate")
SEED: Final = 2026
ROWS: Final = 32
SPREAD: Final = 0.2
"""Tabular rows vary around the contract's example by so much of each value."""


class Case(Struct, frozen=True):
    """One public model version under test.

    Attributes:
        key: How the command line and the results name it.
        title: How tables name it.
        model: Public name.
        version: Public version.
        backing: The Triton model behind it.
        patience: Its rounds last so many times longer, as it answers more slowly.
    """

    key: str
    title: str
    model: str
    version: str
    backing: str
    patience: int = 1

    @property
    def contract_path(self) -> Path:
        """Where its contract lies."""
        return ROOT / "model_repository" / self.backing / "1" / "contract.yaml"


class Payloads(Struct, frozen=True):
    """The requests of a case, in the order in which they are sent.

    Attributes:
        public: Bodies for Tidegate and for the gateway, JSON.
        triton: The same inputs as bodies for Triton's own HTTP API, JSON.
        labels: What the probabilities of the model stand for.
    """

    public: list[str]
    triton: list[str]
    labels: list[str]


CASES: Final = {
    case.key: case
    for case in (
        Case("wine", "wine v1.0.0 (tabular)", "wine", "v1.0.0", "wine_logistic"),
        Case("sentiment", "sentiment v1.0.0 (linear)", "sentiment", "v1.0.0", "sentiment_linear"),
        Case(
            "encoder", "sentiment v2.3.1 (encoder)", "sentiment", "v2.3.1", "sentiment_minilm",
            patience=2,
        ),
    )
}  # fmt: skip


def payloads(case: Case) -> Payloads:
    """The requests of a case: the contract's own examples and realistic variations of them."""
    contract = YAML(typ="safe").load(case.contract_path)
    names = contract["inputs"]["properties"]
    rows: list[dict[str, Any]] = [dict(example) for example in contract["examples"]]
    if "text" in names:
        known = {row["text"] for row in rows}
        rows += [{"text": text} for text in TEXTS.read_text().splitlines() if text not in known]
    else:
        source = random.Random(SEED)  # noqa: S311 (reproducible, not secret)
        rows += [_varied(rows[0], names, source) for _ in range(ROWS - len(rows))]
    return Payloads(
        public=[_json({"inputs": row}) for row in rows],
        triton=[_json(_triton_body(contract["tensors"], row)) for row in rows],
        labels=list(contract["answer"]["labels"]),
    )


def path(case: Case, target: str) -> str:
    """The path of a target at which it predicts with a case's model."""
    return {
        "triton": f"/v2/models/{case.backing}/infer",
        "fastapi": f"/models/{case.model}/{case.version}/predict",
        "tidegate": f"/api/v1/models/{case.model}/predict",
    }[target]


def headers(case: Case, target: str, key: str) -> dict[str, str]:
    """The headers of every request to a target.

    Args:
        case: The model.
        target: Who is asked.
        key: API key for Tidegate; the others ask for none.
    """
    own = {"X-Model-Version": case.version, "Authorization": f"Bearer {key}"}
    return {"Content-Type": "application/json", **(own if target == "tidegate" else {})}


def _varied(
    row: dict[str, Any], properties: dict[str, Any], source: random.Random
) -> dict[str, Any]:
    varied = {}
    for name, value in row.items():
        low, high = properties[name]["minimum"], properties[name]["maximum"]
        moved = round(value * source.uniform(1 - SPREAD, 1 + SPREAD), 2)
        varied[name] = min(max(moved, low), high)
    return varied


def _triton_body(tensors: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    inputs = []
    for name, spec in tensors.items():
        source = spec["from"]
        data = [row[column] for column in source] if isinstance(source, list) else [row[source]]
        shape = [1, len(data)]
        inputs.append({"name": name, "shape": shape, "datatype": spec["datatype"], "data": data})
    return {"inputs": inputs}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
