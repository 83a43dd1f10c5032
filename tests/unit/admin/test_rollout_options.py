"""Plans, shares, guards and moments as one writes them on a command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import pytest

from control_plane.cli import plan
from control_plane.cli.moments import Moment


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("50", {"weight": 50.0}),
        ("0.1%", {"weight": 0.1}),
        ("shadow 100 10m", {"shadow": 100.0, "min_duration_s": 600}),
        ("1 10m 200", {"weight": 1.0, "min_duration_s": 600, "min_requests": 200}),
        ("1 200", {"weight": 1.0, "min_requests": 200}),
        ("5 shadow 20 2h", {"weight": 5.0, "shadow": 20.0, "min_duration_s": 7200}),
        ("  10   90s ", {"weight": 10.0, "min_duration_s": 90}),
        ("10 1d", {"weight": 10.0, "min_duration_s": 86_400}),
    ],
)
def test_a_step_is_read(text: str, step: dict[str, Any]) -> None:
    assert plan.steps(text) == [step]


def test_steps_stand_between_commas() -> None:
    found = plan.steps("shadow 100 10m, 1 10m 200, 10 10m, 50, 100")
    assert [step.get("weight") for step in found] == [None, 1, 10, 50, 100]


@pytest.mark.parametrize(
    "text",
    ["", "1,", ",", "10m", "shadow", "1 2 3", "1 10m 5m", "1 shadow 5 10m 10m", "-1", "1e2",
     "1,5x", "10shadow 5", "1.55", "shadow 5 shadow 6", "x" * 10_000, "nan"],
)  # fmt: skip
def test_what_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        plan.steps(text)


def test_a_plan_has_an_end() -> None:
    with pytest.raises(click.UsageError, match="at most 32 steps"):
        plan.steps(",".join(["1"] * 33))


@pytest.mark.parametrize(
    "text",
    [b"", b"a: 1", b"- 1", b"[", b"\xff", b"- {weight: .nan}", b"- {weight: 2026-01-01}",
     b"[" * 60_000, b"- {weight: 1}\n" * 10_000, b"- !!python/object:os.system {}"],
)  # fmt: skip
def test_what_is_no_plan_file_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(text)
    with pytest.raises(click.UsageError):
        plan.steps_of_file(file)


def test_a_plan_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("# slowly\n- {weight: 1, min_requests: 5}\n- weight: 100\n")
    assert plan.steps_of_file(file) == [{"weight": 1, "min_requests": 5}, {"weight": 100}]


def test_shares_are_percent_by_version() -> None:
    assert plan.shares(["v1.0.0=10", "v2.0.0=0.5%"]) == {"v1.0.0": 10.0, "v2.0.0": 0.5}
    assert plan.shares(["v1.0.0"], is_bare=True) == {"v1.0.0": 0.0}


@pytest.mark.parametrize(
    "texts", [["v1.0.0"], ["=1"], ["v1.0.0="], ["v1.0.0=1.55"], ["a=1", "a=2"], ["a=nan"]]
)
def test_what_is_no_share_is_refused(texts: list[str]) -> None:
    with pytest.raises(click.UsageError):
        plan.shares(texts)


def test_guards_are_numbers_or_off() -> None:
    assert plan.guards(["a=1.5", "b=off", "c=2"]) == {"a": 1.5, "b": None, "c": 2.0}


@pytest.mark.parametrize("text", ["a", "a=", "a=inf", "a=nan", "a=1e9", "a=-1", "a=1=2"])
def test_what_is_no_guard_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        plan.guards([text])


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("2027-03-31", 1_806_451_200),
        ("2027-03-31T12:00Z", 1_806_494_400),
        ("2027-03-31T12:00:01Z", 1_806_494_401),
    ],
)
def test_a_moment_is_utc(text: str, second: int) -> None:
    assert Moment().convert(text, None, None) == second


def test_a_number_of_days_is_from_now() -> None:
    assert abs(Moment().convert("2d", None, None) - time.time() - 172_800) < 60


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "0d", "-1d", "2027-02-30", "2027-03-31T12:00", "2027-3-1", "1806451200"],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="is no moment"):
        Moment().convert(text, None, None)
