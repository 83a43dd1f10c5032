"""Jobs while workers, the door and the system of record are killed: the promise holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.chaos.report import Report
from tests.stack import CHECKOUT, Triton

JOBS = 150
SECONDS = 12


@pytest.mark.timeout(400)
def test_every_acknowledged_job_ends_once(chaos_triton: Triton, tmp_path: Path) -> None:
    told, kept = tmp_path / "report.json", tmp_path / "logs"
    argv = [
        *(sys.executable, "-m", "tests.chaos", "--jobs", str(JOBS), "--seconds", str(SECONDS)),
        *("--triton", chaos_triton.grpc, "--models", str(chaos_triton.repository)),
        *("--json", str(told), "--keep", str(kept)),
    ]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    report = msgspec.json.decode(told.read_bytes(), type=Report)
    assert report.findings == {}
    assert report.acknowledged == JOBS
    assert sum(report.ends.values()) == JOBS
    assert all(report.ends[state] for state in ("completed", "failed", "canceled", "expired"))
    assert report.blows["worker killed"]
    assert report.blows["system of record killed"]
    assert report.repeated
    assert report.recovered
    assert sum(refused for refused, _ in report.stale.values())
    assert report.deliveries >= JOBS
