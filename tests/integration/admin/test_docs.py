"""The commands of docs/operators.md work, in the order in which they stand there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import redis.asyncio as redis
from click.testing import CliRunner

from control_plane.cli import main
from control_plane.jobs.store import JobStore
from control_plane.setting_groups import JobSettings
from tests.integration.admin.conftest import SEALER, Workshop
from tests.integration.jobs.submissions import dead_letter

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operators.md"


def commands() -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
async def given_up(workshop: Workshop) -> str:
    """A job that failed for good, on the workshop's system of record."""
    async with redis.Redis.from_url(workshop.door.records_url) as records:
        await records.config_set("appendonly", "yes")
        await records.config_set("appendfsync", "always")
        return await dead_letter(JobStore(records, JobSettings(attempts=1)), SEALER)


def test_the_commands_of_the_page_work(workshop: Workshop, given_up: str, tmp_path: Path) -> None:
    door = workshop.door
    for version, status in (("v1.0.0", "stable"), ("v2.3.1", "stable"), ("v3.0.0", "experimental"),
                            ("v3.1.0", "experimental")):  # fmt: skip
        workshop.house.put(version, model="sentiment", status=status)
    workshop.root.post("/repository/refresh")
    workshop.settled("sentiment", "v3.1.0")
    environment = {"TIDEGATE_ADMIN_URL": door.url, "TIDEGATE_ADMIN_KEY": door.root_key}
    acme = f"{door.name()}-acme"
    key = rollout = ""
    job = given_up
    assert commands()
    for line in commands():
        command = line.replace("acme", acme).replace("KEY_ID", key)
        command = command.replace("ROLLOUT_ID", rollout).replace("JOB_ID", job)
        if command.startswith("curl "):
            run = subprocess.run(
                ["bash", "-c", command], env=environment, capture_output=True, check=False,
                cwd=tmp_path, text=True,
            )  # fmt: skip
            assert run.returncode == 0, line
            assert "acme" not in line or acme in run.stdout, line
            continue
        program, *argv = shlex.split(command)
        assert program == "tidegate"
        result = CliRunner().invoke(main, argv, env=environment)
        assert result.exit_code == 0, f"{line}\n{result.output}"
        if argv[:2] == ["keys", "list"] and not key:
            shown = CliRunner().invoke(main, [*argv, "--json"], env=environment)
            key = json.loads(shown.stdout)[0]["id"]
        if argv[:2] == ["jobs", "replay"]:
            (job,) = set(re.findall("job_[0-9a-f]{32}", result.output)) - {job}
        if argv[:2] == ["rollouts", "start"]:
            shown = CliRunner().invoke(main, ["rollouts", "status", argv[2], "--json"],
                                       env=environment)  # fmt: skip
            rollout = json.loads(shown.stdout)["rollout"]["id"]
