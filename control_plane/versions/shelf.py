"""What a model repository holds at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.repository import Reading
from control_plane.inference.model_config import ModelConfig, read_configs
from control_plane.types import FileFault, ModelRef, Version


class Shelf(Struct, frozen=True):
    """One reading of a repository.

    Attributes:
        contracts: Of every version that can be served.
        configs: Of the Triton models, by name.
        faults: Why other versions cannot be served.
    """

    contracts: Mapping[ModelRef, CompiledContract] = {}
    configs: Mapping[str, ModelConfig] = {}
    faults: tuple[FileFault, ...] = ()

    def contract(self, model: str, version: str) -> CompiledContract | None:
        """The contract of a version, if there is one."""
        try:
            return self.contracts.get(ModelRef(model, Version.parse(version)))
        except ValueError:
            return None

    def of_model(self, model: str) -> dict[str, CompiledContract]:
        """The contracts of a model's versions, by version."""
        return {str(ref.version): c for ref, c in self.contracts.items() if ref.name == model}

    @property
    def public(self) -> frozenset[str]:
        """The Triton models that serve a version."""
        return frozenset(compiled.backing.model for compiled in self.contracts.values())


class Turnover(Struct, frozen=True):
    """What came and went between two readings.

    Attributes:
        added: Versions that came.
        gone: Versions that are no more.
    """

    added: tuple[ModelRef, ...]
    gone: tuple[ModelRef, ...]


EMPTY: Final = Shelf()


def shelved(reading: Reading, root: Path) -> Shelf:
    """A reading of the contracts with the configurations that lie beside them.

    Args:
        reading: What the contracts say.
        root: The model repository; one that cannot be read has no configurations.
    """
    try:
        configs, _ = read_configs(root)
    except OSError:
        configs = {}
    contracts = {compiled.ref: compiled for compiled in reading.contracts}
    return Shelf(contracts, configs, tuple(reading.faults))


def turnover(before: Shelf, after: Shelf) -> Turnover:
    """What came and went from one reading to the next."""
    return Turnover(
        added=tuple(sorted(after.contracts.keys() - before.contracts.keys())),
        gone=tuple(sorted(before.contracts.keys() - after.contracts.keys())),
    )
