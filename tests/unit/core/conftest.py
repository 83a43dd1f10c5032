"""What tests of the pipeline share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control_plane.admission.principal import Principal
from control_plane.contracts.compiler import CompiledContract
from tests.unit.core.deployment import Deployment


@pytest.fixture
async def deployment(
    compiled: Callable[..., CompiledContract], gate: Any, caller: Principal
) -> Deployment:
    """A deployment whose versions are ready."""
    made = Deployment(compiled, gate, caller)
    await made.look()
    return made
