"""The models that are rolled out: small ones made to behave badly, and the project's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from loadtests.bench.cases import ROOT, TEXTS
from loadtests.rollouts.gateway import Gateway, eventually
from loadtests.rollouts.handover import FORMER, MODEL
from loadtests.rollouts.shadows import Pair
from loadtests.rollouts.verdicts import CANDIDATE, STABLE
from tests.integration.rollouts.house import House

OWN: Final = ROOT / "model_repository"
LINEAR: Final = "sentiment_linear"
ENCODER: Final = (
    "sentiment_minilm", "minilm_tokenizer", "minilm_encoder", "minilm_head"
)  # fmt: skip
ENCODER_VERSION: Final = "v2.3.1"
LIGHT: Final = "linear"


def furnish(folder: Path) -> House:
    """Write the versions that are judged and the first that is handed over."""
    house = House(folder)
    for model in ("failing", "slow", "alike"):
        house.put(STABLE, model=model, status="stable")
    house.put(CANDIDATE, model="failing", fails=0.05)
    house.put(CANDIDATE, model="slow", delay_s=0.1)
    house.put(CANDIDATE, model="alike")
    house.put(FORMER, model=MODEL, status="stable")
    return house


def stock(folder: Path) -> list[Pair]:
    """Write the versions that see and are seen in shadow."""
    texts = TEXTS.read_text().splitlines()
    pairs = []
    for version, status in ((STABLE, "stable"), (CANDIDATE, "experimental")):
        _linear(folder, version, status)
    pairs.append(Pair("two linear versions", LIGHT, CANDIDATE, texts))
    for name in (LINEAR, *ENCODER):
        shutil.copytree(OWN / name, folder / name)
    pairs.append(Pair("linear, encoder as shadow", "sentiment", ENCODER_VERSION, texts))
    return pairs


def make_linear_the_stable(gateway: Gateway) -> None:
    """Let the linear version of sentiment answer, so that the encoder can be its shadow."""

    def promoted() -> bool:
        path = f"/models/sentiment/versions/{STABLE}/promote"
        return gateway.operators.post(path, json={"allow_breaking": True}).is_success

    eventually(promoted)


def _linear(folder: Path, version: str, status: str) -> None:
    name = f"{LIGHT}_{version.replace('.', '_')}"
    shutil.copytree(OWN / LINEAR, folder / name, ignore=shutil.ignore_patterns("card.yaml"))
    config = folder / name / "config.pbtxt"
    config.write_text(config.read_text().replace(f'"{LINEAR}"', f'"{name}"', 1))
    contract = folder / name / "1" / "contract.yaml"
    _, _, rest = contract.read_text().partition("title:")
    head = f"model: {LIGHT}\nversion: {version}\nstatus: {status}\n"
    contract.write_text(f"{head}title:{rest}")
