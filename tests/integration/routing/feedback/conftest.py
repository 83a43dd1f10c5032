"""The limits servers that these tests run on are those of admission's tests."""

from __future__ import annotations

from tests.integration.admission.conftest import counter_server, redis_url

__all__ = ["counter_server", "redis_url"]
