"""A Triton of these tests' own, as they change what it has loaded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from control_plane.inference.triton import TritonBackend
from tests.integration.inference.workshop import Workshop
from tests.stack import Triton, started_triton


class Bench(NamedTuple):
    """A Triton and the models on its disk."""

    triton: Triton
    workshop: Workshop


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    repository: Path = tmp_path_factory.mktemp("workshop")
    workshop = Workshop(repository)
    workshop.put("first")
    with started_triton(tmp_path_factory.mktemp("workshop-data"), repository) as triton:
        yield Bench(triton, workshop)


@pytest.fixture
def workshop(bench: Bench) -> Workshop:
    """Models that the Triton may load."""
    return bench.workshop


@pytest.fixture
async def backend(bench: Bench) -> AsyncIterator[TritonBackend]:
    """A connection to the Triton."""
    opened = TritonBackend(bench.triton.grpc)
    yield opened
    await opened.close()
