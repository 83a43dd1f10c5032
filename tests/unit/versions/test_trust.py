"""Where a version stands on every Triton, and whether it may be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from control_plane.inference.keeper import ModelReport
from control_plane.inference.lanes import Lanes
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.types import Backing
from control_plane.versions.gate import gate
from control_plane.versions.standing import Standing, is_ready_everywhere, obstacles, standings
from tests.unit.versions.shelves import put, shelf

BACKING = Backing("a", "1")
READY = Standing("one", "ready", [])
AWAY = Standing("two", "away", ["no connection"])


class Refusals:
    """Lanes that refuse what they are told to."""

    def __init__(self, refused: Mapping[Backing, Mapping[str, list[str]]]) -> None:
        self.refused = refused


def stand(
    *, loaded: bool, held: bool = False, refused: Any = None, report: ModelReport | None = None
) -> Standing:
    """How the version stands on one server."""
    backend = MemoryBackend({}, name="one")
    pool = BackendPool([backend], interval_s=60, timeout_s=1)
    if loaded:
        pool.endpoints[0].ready = frozenset({BACKING})
    if held:
        pool.hold(backend, BACKING)
    lanes = cast("Lanes", Refusals({BACKING: {"one": refused}} if refused else {}))
    reports = {} if report is None else {("one", "a"): report}
    (found,) = standings(BACKING, pool, lanes, reports)
    return found


def test_what_gets_calls_is_ready() -> None:
    assert stand(loaded=True) == Standing("one", "ready", [])


def test_what_is_held_is_examined_or_refused() -> None:
    assert stand(loaded=True, held=True).state == "examined"
    refused = stand(loaded=True, held=True, refused=["example 0 fails"])
    assert (refused.state, refused.reasons) == ("refused", ["example 0 fails"])


def test_what_was_refused_and_is_gone_is_refused_no_more() -> None:
    assert stand(loaded=False, refused=["example 0 fails"]).state == "absent"


@pytest.mark.parametrize(
    ("told", "state"),
    [("unknown", "away"), ("loading", "loading"), ("absent", "absent"), ("ready", "examined")],
)
def test_what_is_not_ready_is_as_its_server_says(told: Any, state: str) -> None:
    found = stand(loaded=False, report=ModelReport("one", "a", told, "because"))
    assert (found.state, found.reasons) == (state, ["because"])


def test_a_failure_says_when_it_is_tried_again() -> None:
    report = ModelReport("one", "a", "failed", "bad weights", failures=3, retry_s=12.4)
    found = stand(loaded=False, report=report)
    assert found.state == "failed"
    assert found.reasons == ["bad weights", "tried 3 times, again in 12 s"]


def test_a_server_that_is_away_does_not_count_unless_all_are() -> None:
    assert is_ready_everywhere([READY, AWAY])
    assert obstacles([READY, AWAY]) == ()
    assert not is_ready_everywhere([AWAY])
    assert not is_ready_everywhere([])
    assert obstacles([AWAY]) == ("no Triton answers",)


def test_every_server_in_reach_counts() -> None:
    loading = Standing("three", "loading", [])
    failed = Standing("four", "failed", ["bad weights", "tried 1 times"])
    assert not is_ready_everywhere([READY, loading])
    assert obstacles([READY, AWAY, loading, failed]) == (
        "it is loading on three",
        "it is failed on four: bad weights; tried 1 times",
    )


NARROWER = {"inputs": {"required": ["x"], "properties": {"x": {"type": "number", "maximum": 9}}}}


def passed(root: Path, stable: str | None, version: str, *, allow: bool = False) -> Any:
    return gate(shelf(root), "house", stable, version, [READY], allow_breaking=allow)


def test_breaks_of_the_stable_version_are_facts(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    put(tmp_path, "b", "v2.0.0", **NARROWER)
    found = passed(tmp_path, "v1.0.0", "v2.0.0", allow=True)
    assert (found.ready, found.calls_for, found.allow_breaking) == (True, "v2.0.0", True)
    assert [change["where"] for change in found.changes] == ["/inputs/properties/x/maximum"]
    assert passed(tmp_path, "v2.0.0", "v1.0.0").changes == ()


def test_what_replaces_nobody_breaks_nothing(tmp_path: Path) -> None:
    put(tmp_path, "b", "v2.0.0", **NARROWER)
    assert passed(tmp_path, None, "v2.0.0").changes == ()
    assert passed(tmp_path, "v2.0.0", "v2.0.0").changes == ()


def test_without_the_contract_of_the_stable_version_nothing_is_shown(tmp_path: Path) -> None:
    put(tmp_path, "b", "v2.0.0")
    (change,) = passed(tmp_path, "v1.0.0", "v2.0.0").changes
    assert change["breaking"]
    assert "v1.0.0" in change["what"]


def test_without_a_contract_nothing_is_ready(tmp_path: Path) -> None:
    put(tmp_path, "a", "v1.0.0")
    found = passed(tmp_path, "v1.0.0", "v9.0.0")
    assert not found.ready
    assert "no contract" in found.reasons[0]


def test_shapes_of_outputs_are_compared_by_the_configurations(tmp_path: Path) -> None:
    wide = {"inputs": {"required": ["x"], "properties": {"x": {"type": "number"}}}}
    put(tmp_path, "a", "v1.0.0")
    put(tmp_path, "b", "v1.1.0", width=2, **wide)
    assert passed(tmp_path, "v1.0.0", "v1.1.0").changes
