"""How rollouts look on a terminal."""

from __future__ import annotations

from typing import Any

from control_plane.cli import rollout_views

ROLLOUT: dict[str, Any] = {
    "id": "ro_1",
    "model": "house",
    "stable": "v1.0.0",
    "candidates": [{"version": "v2.0.0", "weight": 10.0, "shadow": 0.0}],
    "sticky_by": "tenant",
    "plan": [{"weight": 10.0, "shadow": 0.0, "min_duration_s": 60, "min_requests": 5}],
    "step": 0,
    "step_since": 1000,
    "attempt": 2,
    "paused": True,
    "paused_at": 1042,
    "started_at": 900,
    "started_by": "k:bootstrap",
}
FINDING: dict[str, Any] = {
    "test": "failing_subjects", "state": "alarm", "sentence": "9 subjects failed",
    "candidate": 9.0, "control": 0.0, "e_value": 123456.789, "threshold": 700.0, "interval": None,
}  # fmt: skip
FIGURES: dict[str, Any] = {
    "percent": 10.0, "requests": 8, "failed": 2, "failing_subjects": 1, "latency_p50_s": 0.0123,
    "latency_p99_s": None, "labels": {},
}  # fmt: skip
NOTHING: dict[str, Any] = {**FIGURES, "requests": 0, "failed": 0, "latency_p50_s": None}


def test_a_pause_does_not_lengthen_a_step() -> None:
    shown = rollout_views.heading(ROLLOUT)
    assert "step 1 of 1, attempt 2: for 42 s of at least 60 s, at least 5 requests" in shown
    assert "PAUSED" in shown


def test_a_step_ends_with_its_rollout() -> None:
    ended = {**ROLLOUT, "paused": False, "paused_at": None}
    assert "for 7 s of" in rollout_views.heading(ended, ended_at=1007)


def test_sides_and_verdicts_are_shown() -> None:
    judgement = {"at": 1000, "verdicts": {"v2.0.0": {"decision": "hold", "reasons": ["too soon"]}}}
    sides = [{"version": "v2.0.0", "candidate": FIGURES, "control": NOTHING}]
    counted = {"sides": sides, "judgement": judgement, "shadows": {}}
    lines = rollout_views.status({"rollout": ROLLOUT, "counted": counted}).splitlines()
    candidate = next(line.split() for line in lines if " candidate " in line)
    assert candidate == ["v2.0.0", "candidate", "10", "8", "2", "25.00", "12.3", "-"]
    control = next(line.split() for line in lines if " control " in line)
    assert control[3:] == ["0", "0", "-", "-", "-"]
    assert lines[-2:] == ["judge on v2.0.0, 1970-01-01 00:16:40Z: hold", "  too soon"]


def test_without_counts_it_says_so() -> None:
    shown = rollout_views.status({"rollout": ROLLOUT, "counted": None})
    assert shown.endswith("no counts: the limits server does not answer")


def test_an_end_has_its_numbers() -> None:
    shown = rollout_views.ended(
        {
            "rollout": ROLLOUT,
            "outcome": "rolled_back",
            "by": "system",
            "reason": "it fails",
            "undone": False,
            "ended_at": 2000,
            "report": {"findings": [FINDING]},
            "shadows": None,
        }
    )
    assert "rolled_back 1970-01-01 00:33:20Z by system: it fails" in shown
    assert "1.235e+05" in shown
    assert "9 subjects failed" in shown
