"""A Triton with the models of the chaos, for its tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.house import kept_models
from tests.stack import Triton, started_triton


@pytest.fixture(scope="session")
def chaos_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """Two models that say at once, or after a while, what follows from their input."""
    models = kept_models(tmp_path_factory.mktemp("chaos") / "models")
    with started_triton(tmp_path_factory.mktemp("chaos-triton"), models) as triton:
        yield triton
