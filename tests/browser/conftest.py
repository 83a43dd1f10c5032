"""The servers that these tests talk to come from ``tests/stack.py``."""

from __future__ import annotations

import pytest

from tests import stack as servers


def pytest_configure(config: pytest.Config) -> None:
    servers.register(config)
