"""``tidegate models`` and ``tidegate rollouts`` on top of the operators' API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from control_plane.cli import main
from control_plane.cli.waiting import patiently
from tests.integration.admin.conftest import Workshop

Run = Callable[..., Result]
Done = Callable[..., Any]


@pytest.fixture
def run(workshop: Workshop) -> Run:
    """Runs a command as the operator who may do everything."""
    environment = {
        "TIDEGATE_ADMIN_URL": workshop.door.url,
        "TIDEGATE_ADMIN_KEY": workshop.door.root_key,
    }

    def command(*argv: str) -> Result:
        return CliRunner().invoke(main, argv, env=environment)

    return command


@pytest.fixture
def done(run: Run) -> Done:
    """Runs a command that must succeed, and reads its JSON."""

    def command(*argv: str) -> Any:
        result = run(*argv, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return command


def test_a_life_by_commands(workshop: Workshop, done: Done) -> None:
    model = workshop.model(v1_1_0={})
    assert done("models", "promote", model, "v1.1.0")["stable"] == "v1.1.0"
    told = ("--sunset", "90d", "--info", "https://example.com")
    announced = done("models", "deprecate", model, "v1.0.0", *told)["versions"][0]
    assert abs(announced["sunset_at"] - time.time() - 90 * 86_400) < 600
    assert done("models", "unload", model, "v1.0.0")["versions"][0]["loaded"] is False
    assert done("models", "load", model, "v1.0.0", "--wait", "60")["versions"][0]["loaded"] is True
    assert done("models", "retire", model, "v1.0.0", "--yes")["versions"][0]["life"] == "retired"
    revived = done("models", "revive", model, "v1.0.0")["versions"][0]
    assert revived["life"] == "experimental"
    assert done("models", "alias", model, "old", "v1.0.0")["aliases"] == {"old": "v1.0.0"}
    assert done("models", "alias", model, "old", "--delete")["aliases"] == {}
    assert model in [each["name"] for each in done("models", "status")]


def test_a_version_is_promoted_as_soon_as_it_is_ready(workshop: Workshop, run: Run) -> None:
    model = workshop.model()
    workshop.house.put("v1.1.0", model=model)
    assert run("models", "refresh").exit_code == 0
    promoted = run("models", "promote", model, "v1.1.0", "--wait", "60")
    assert promoted.exit_code == 0, promoted.output
    assert "v1.1.0" in promoted.stdout


def test_what_stays_unready_ends_the_wait(workshop: Workshop, run: Run) -> None:
    model = workshop.model(v1_1_0={"fails": 1.0})
    promoted = run("models", "promote", model, "v1.1.0", "--wait", "1")
    assert promoted.exit_code == 1
    assert "VERSION_NOT_READY" in promoted.stderr
    assert "example 0 fails" in promoted.stderr
    loaded = run("models", "load", model, "v1.1.0", "--wait", "1")
    assert (loaded.exit_code, "not ready everywhere" in loaded.stderr) == (1, True)


def test_where_versions_stand_is_a_table_with_reasons(workshop: Workshop, run: Run) -> None:
    model = workshop.model(v1_1_0={"fails": 1.0})
    lines = run("models", "status", model).stdout.splitlines()
    assert lines[0].split()[:4] == ["VERSION", "LIFE", "ROLE", "READY"]
    assert lines[1].split()[:4] == ["v1.0.0", "stable", "stable", "1/1"]
    assert lines[2].split()[:4] == ["v1.1.0", "experimental", "latest", "0/1"]
    assert lines[3].startswith(f"v1.1.0 is refused on {workshop.triton}: example 0 fails")


def test_a_break_is_explained_in_lines(workshop: Workshop, run: Run) -> None:
    model = workshop.model(v2_0_0={"maximum": 0.75})
    repository = str(workshop.house.repository)
    for where in ((), ("--repository", repository)):
        found = run("models", "diff", model, "v1.0.0", "v2.0.0", *where)
        assert found.exit_code == 3, found.output
        assert "breaks   /inputs/properties/x/maximum" in found.stdout
        assert "calls for v2.0.0 or higher" in found.stdout
        assert run("models", "diff", model, "v2.0.0", "v1.0.0", *where).exit_code == 0
        assert run("models", "diff", model, "v1.0.0", "v7.0.0", *where).exit_code == 1
    refused = run("models", "promote", model, "v2.0.0")
    assert refused.exit_code == 1
    assert "CONTRACT_BREAKING" in refused.stderr.splitlines()[0]
    assert refused.stderr.splitlines()[1].startswith("  /inputs/properties/x/maximum: ")
    assert run("models", "promote", model, "v2.0.0", "--allow-breaking").exit_code == 0


def test_faults_of_contracts_end_a_refresh_with_1(workshop: Workshop, run: Run) -> None:
    model = workshop.model()
    folder = workshop.house.put("v1.1.0", model=model)
    contract = workshop.house.repository / folder / "1" / "contract.yaml"
    text = contract.read_text()
    contract.write_text(text.replace("FP32", "FP33"))
    found = run("models", "refresh")
    assert found.exit_code == 1
    assert f"{folder}/1/contract.yaml:" in found.stderr
    contract.write_text(text)
    assert run("models", "refresh").stdout.split() == ["added", model, "v1.1.0"]


def test_a_rollout_by_commands(workshop: Workshop, run: Run, done: Done) -> None:
    model = workshop.model(v1_1_0={})
    started = done(
        *("rollouts", "start", model, "--candidate", "v1.1.0", "--guard", "max_shift=off"),
        *("--plan", "shadow 100 10m, 1 10m 200, 10 2h, 50, 100", "--guard", "error_ratio=2"),
    )
    assert started["plan"][1] == {
        "weight": 1.0, "shadow": 0.0, "min_duration_s": 600, "min_requests": 200,
    }  # fmt: skip
    assert (started["guards"]["max_shift"], started["guards"]["error_ratio"]) == (None, 2.0)
    shown = run("rollouts", "status", model)
    assert shown.exit_code == 0, shown.output
    assert "step 1 of 5" in shown.stdout
    assert "v1.1.0: 100 % of the requests in shadow" in shown.stdout
    assert "PAUSED" in run("rollouts", "pause", model).stdout
    assert "PAUSED" not in run("rollouts", "resume", model).stdout
    ended = run("rollouts", "abort", model, "--reason", "enough")
    assert "aborted" in ended.stdout
    assert ended.stdout.rstrip().endswith("by k:bootstrap: enough")
    assert done("rollouts", "report", model)["id"] == started["id"]
    assert run("rollouts", "report", started["id"]).stdout == ended.stdout
    assert started["id"] in run("rollouts", "list", model).stdout
    assert done("rollouts", "differences", started["id"], "v1.1.0")["items"] == []


def test_weights_and_a_promotion_by_commands(workshop: Workshop, run: Run, done: Done) -> None:
    model = workshop.model(v1_1_0={}, v1_2_0={})
    both = ("--candidate", "v1.1.0=10", "--candidate", "v1.2.0=5.5%", "--shadow", "v1.2.0=100")
    started = done("rollouts", "start", model, *both, "--unjudged", "--sticky-by", "key")
    assert started["guards"] is None
    assert started["candidates"][1] == {"version": "v1.2.0", "weight": 5.5, "shadow": 100.0}
    changed = done("rollouts", "weights", model, "v1.1.0=20")
    assert [each["weight"] for each in changed["candidates"]] == [20, 5.5]
    assert run("rollouts", "promote", model).exit_code == 1
    promoted = done("rollouts", "promote", model, "--version", "v1.1.0")
    assert promoted["outcome"] == "promoted"
    assert "undone since" in run("rollouts", "undo", promoted["id"]).stdout


def test_a_watch_ends_with_the_rollout(
    workshop: Workshop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.cli.rollout_views.REDRAW_S", 0.1)
    model = workshop.model(v1_1_0={})
    for action, status in (("abort", 3), ("promote", 0)):
        started = run("rollouts", "start", model, "--candidate", "v1.1.0=10", "--again")
        assert started.exit_code == 0, started.output
        path = f"/models/{model}/rollout/{action}"
        timer = threading.Timer(0.5, lambda path=path: workshop.root.post(path, json={}))
        timer.start()
        watched = run("rollouts", "status", model, "--watch")
        timer.join()
        assert watched.exit_code == status, watched.output
        assert watched.stdout.splitlines()[0].startswith("v1.1.0: 10 % of the subjects")


def test_a_plan_comes_from_a_file(workshop: Workshop, done: Done, tmp_path: Path) -> None:
    model = workshop.model(v1_1_0={})
    file = tmp_path / "plan.yaml"
    file.write_text("- {weight: 1, min_requests: 5}\n- {weight: 100, min_duration_s: 0}\n")
    argv = ("rollouts", "start", model, "--candidate", "v1.1.0", "--plan-file", str(file))
    assert [step["weight"] for step in done(*argv)["plan"]] == [1, 100]


@pytest.mark.parametrize(
    "argv",
    [
        ("models", "retire", "m", "v1.0.0"),
        ("models", "alias", "m", "a"),
        ("models", "alias", "m", "a", "v1.0.0", "--delete"),
        ("models", "deprecate", "m", "v1.0.0"),
        ("models", "deprecate", "m", "v1.0.0", "--sunset", "tomorrow"),
        ("models", "promote", "m", "v1.0.0", "--wait", "0"),
        ("rollouts", "start", "m"),
        ("rollouts", "start", "m", "--candidate", "v1.0.0=x"),
        ("rollouts", "start", "m", "--candidate", "v1.0.0=1", "--candidate", "v1.0.0=2"),
        ("rollouts", "start", "m", "--candidate", "v1.0.0", "--plan", "soon"),
        ("rollouts", "start", "m", "--candidate", "v1.0.0", "--guard", "error_ratio=nan"),
        ("rollouts", "start", "m", "--candidate", "v1.0.0", "--unjudged", "--guard", "a=1"),
        ("rollouts", "weights", "m"),
        ("rollouts", "weights", "m", "v1.0.0"),
        ("rollouts", "status", "m", "--watch", "--json"),
    ],
)
def test_what_makes_no_sense_ends_with_2(run: Run, argv: tuple[str, ...]) -> None:
    result = run(*argv)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


def test_what_does_not_exist_ends_with_1(run: Run) -> None:
    for argv in (
        ("models", "status", "nothing"),
        ("rollouts", "status", "first"),
        ("rollouts", "status", "first", "--watch"),
        ("rollouts", "report", "first"),
        ("rollouts", "report", "ro_0"),
    ):
        result = run(*argv)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output


def test_a_wait_looks_at_least_once() -> None:
    looks: list[int] = []
    assert patiently(lambda: looks.append(1), lambda _: False, 0) is None
    assert len(looks) == 1
