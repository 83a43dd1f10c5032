"""A `tidegate up` with versions that behave well and badly, and traffic to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.rollouts.house import House
from tests.integration.rollouts.town import Town
from tests.stack import FOR_TESTS, started_up


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Models of one family each, so that tests do not meet each other's rollouts."""
    house = House(tmp_path_factory.mktemp("house"))
    house.put("v1.0.0", model="steady", status="stable")
    house.put("v1.1.0", model="steady")
    house.put("v1.0.0", model="brittle", status="stable")
    house.put("v1.1.0", model="brittle", fails=0.05)
    house.put("v1.0.0", model="slowing", status="stable")
    house.put("v1.1.0", model="slowing", delay_s=0.1)
    house.put("v1.0.0", model="watched", status="stable")
    house.put("v1.1.0", model="watched", errs=0.2)
    house.put("v1.0.0", model="growing", status="stable")
    house.put("v2.0.0", model="growing", maximum=0.75)
    data = tmp_path_factory.mktemp("town")
    with started_up(data, house.repository, **FOR_TESTS) as stack:
        yield Town(stack, house)
