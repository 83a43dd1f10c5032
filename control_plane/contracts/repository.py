"""Walks a model repository and compiles the contracts that it finds.

A faulty contract leaves its version out and the rest up: the caller gets both lists and says
loudly what was left out.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from msgspec import Struct

from control_plane.contracts.compiler import CompiledContract, compile_contract
from control_plane.contracts.source import FaultyContract, Source
from control_plane.types import Backing, FileFault, ModelRef

CONTRACT = "contract.yaml"
CARD = "card.yaml"


class Reading(Struct, frozen=True):
    """What a model repository holds.

    Attributes:
        contracts: The versions that can be served.
        faults: Why others cannot.
    """

    contracts: list[CompiledContract]
    faults: list[FileFault]


def read_repository(root: Path) -> Reading:
    """Compile every ``MODEL/VERSION/contract.yaml`` below a folder.

    Args:
        root: A Triton model repository.

    Raises:
        FaultyContract: If the folder itself cannot be read.
    """
    try:
        if not root.is_dir():
            raise NotADirectoryError
        folders = sorted(root.glob("*/*/"))
        files = [folder / CONTRACT for folder in folders if os.path.lexists(folder / CONTRACT)]
    except OSError as error:
        remedy = "Point TIDEGATE_MODEL_REPOSITORY at a Triton model repository"
        fault = FileFault(str(root), 0, "is no folder that can be read", remedy)
        raise FaultyContract([fault]) from error
    contracts: list[CompiledContract] = []
    faults: list[FileFault] = []
    for file in files:
        try:
            contracts.append(_compile(file, root))
        except FaultyContract as error:
            faults += error.faults
    unique, twice = _unique(contracts)
    return Reading(sorted(unique, key=lambda compiled: compiled.ref), faults + twice)


def _compile(file: Path, root: Path) -> CompiledContract:
    name = str(file.relative_to(root))
    version, model = file.parent.name, file.parent.parent.name
    if not (version.isascii() and version.isdigit() and version == str(int(version)) != "0"):
        remedy = "Name the folder 1, 2, …: Triton ignores others"
        message = f"the folder {version} is no Triton version"
        raise FaultyContract([FileFault(name, 0, message, remedy)])
    card = file.with_name(CARD)
    return compile_contract(
        Source.read(file, name),
        Backing(model, version),
        Source.read(card, str(card.relative_to(root))).data if card.exists() else None,
    )


def _unique(
    contracts: list[CompiledContract],
) -> tuple[list[CompiledContract], list[FileFault]]:
    """Leave out every version that two directories claim: which is meant, nobody can say."""
    claims: dict[ModelRef, list[CompiledContract]] = defaultdict(list)
    for compiled in contracts:
        claims[compiled.ref].append(compiled)
    unique = [claim[0] for claim in claims.values() if len(claim) == 1]
    faults = [
        FileFault(
            f"{compiled.backing}/{CONTRACT}", 0,
            f"{ref} is claimed by {' and '.join(str(other.backing) for other in claim)}",
            "Give each directory a version of its own",
        )
        for ref, claim in claims.items() if len(claim) > 1 for compiled in claim
    ]  # fmt: skip
    return unique, faults
