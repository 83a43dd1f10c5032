"""Rollouts by the operators' API: started, steered, judged, ended, undone, reported."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import redis.asyncio as redis

from control_plane.routing import layout
from control_plane.routing.judge.fields import Side
from control_plane.routing.judge.tally import Tally
from control_plane.routing.shadow.comparing import Comparison
from control_plane.routing.shadow.counts import ShadowCounts
from control_plane.routing.shadow.differences import Differences
from control_plane.routing.shadow.jobs import Predicted, ShadowAnswer, ShadowJob
from control_plane.routing.trials import CountStore
from control_plane.sealing import Sealer
from control_plane.types import ModelRef, Version
from tests.integration.admin.conftest import SETTINGS, Workshop, admin_process
from tests.integration.local.processes import eventually

PLAN = [
    {"weight": 0, "shadow": 100, "min_duration_s": 0},
    {"weight": 10, "min_duration_s": 3600},
    {"weight": 100},
]


@pytest.fixture
def model(workshop: Workshop) -> str:
    """A model with a candidate that is ready."""
    return workshop.model(v1_1_0={})


def start(workshop: Workshop, model: str, **body: Any) -> httpx.Response:
    body.setdefault("candidates", [{"version": "v1.1.0"}])
    return workshop.root.post(f"/models/{model}/rollout", json=body)


def act(workshop: Workshop, model: str, action: str, body: Any = None) -> httpx.Response:
    return workshop.root.post(f"/models/{model}/rollout/{action}", json=body)


def error(answer: httpx.Response) -> dict[str, Any]:
    return dict(answer.json()["error"])


def weighted(percent: float) -> list[dict[str, Any]]:
    return [{"version": "v1.1.0", "weight": percent}]


def test_a_rollout_is_started_watched_held_and_aborted(workshop: Workshop, model: str) -> None:
    made = start(workshop, model, plan=PLAN, sticky_by="header:x-session", public=True)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/admin/v1/models/{model}/rollout"
    view = made.json()
    assert view["candidates"] == [{"version": "v1.1.0", "weight": 0.0, "shadow": 100.0}]
    assert (view["stable"], view["sticky_by"], view["public"]) == (
        *("v1.0.0", "header:x-session", True),
    )
    assert view["started_by"] == "k:bootstrap"
    found = workshop.root.get(f"/models/{model}/rollout").json()
    assert found["rollout"]["id"] == view["id"]
    assert found["counted"]["sides"][0]["candidate"]["requests"] == 0
    assert error(start(workshop, model, plan=PLAN))["code"] == "LIFE_CONFLICT"
    assert act(workshop, model, "pause").json()["paused"] is True
    assert workshop.root.get(f"/models/{model}").json()["canary"] == "v1.1.0"
    assert act(workshop, model, "resume").json()["paused"] is False
    ended = act(workshop, model, "abort", {"reason": "enough"}).json()
    assert (ended["id"], ended["outcome"], ended["by"]) == (view["id"], "aborted", "k:bootstrap")
    assert ended["reason"] == "enough"
    assert workshop.root.get(f"/models/{model}/rollout").status_code == 404
    listed = workshop.root.get("/rollouts", params={"model": model}).json()["items"]
    assert [each["id"] for each in listed] == [view["id"]]
    assert "shadows" not in listed[0]
    entries = workshop.root.get("/audit", params={"target": f"model:{model}"}).json()["items"]
    assert [entry["action"] for entry in entries][:4] == [
        *("rollout.abort", "rollout.resume", "rollout.pause", "rollout.start"),
    ]


def test_weights_are_changed_where_there_is_no_plan(workshop: Workshop, model: str) -> None:
    assert start(workshop, model, candidates=weighted(10)).status_code == 201
    path = f"/models/{model}/rollout"
    changed = workshop.root.patch(path, json={"weights": {"v1.1.0": 30.5}})
    assert changed.status_code == 200, changed.text
    assert changed.json()["candidates"][0]["weight"] == 30.5
    assert changed.json()["control"] == 30.5
    assert workshop.root.patch(path, json={}).json() == changed.json()
    for weights, status in (({"v1.1.0": 0.05}, 422), ({"v1.0.0": 1}, 422), ({"v1.1.0": None}, 422)):
        assert workshop.root.patch(path, json={"weights": weights}).status_code == status, weights
    act(workshop, model, "abort", {})
    start(workshop, model, plan=PLAN[1:])
    planned = workshop.root.patch(path, json={"weights": {"v1.1.0": 50}})
    assert error(planned)["code"] == "LIFE_CONFLICT"


def test_a_promotion_is_made_and_taken_back(workshop: Workshop, model: str) -> None:
    rollout = start(workshop, model, candidates=weighted(10)).json()["id"]
    report = act(workshop, model, "promote", {"reason": "it is good"}).json()
    assert (report["outcome"], report["promoted"]) == ("promoted", "v1.1.0")
    assert workshop.root.get(f"/models/{model}").json()["stable"] == "v1.1.0"
    undone = workshop.root.post(f"/rollouts/{rollout}/undo")
    assert (undone.status_code, undone.json()["undone"]) == (200, True)
    assert workshop.root.get(f"/models/{model}").json()["stable"] == "v1.0.0"
    again = workshop.root.post(f"/rollouts/{rollout}/undo")
    assert error(again)["code"] == "LIFE_CONFLICT"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "candidates"),
        ({"candidates": [{"version": "v7.0.0", "weight": 1}]}, "candidates[0].version"),
        ({"candidates": [{"version": "v1.0.0", "weight": 1}]}, "candidates[0].version"),
        ({"candidates": weighted(101)}, "candidates[0].weight"),
        ({"candidates": weighted(0.25)}, "candidates[0].weight"),
        ({"candidates": weighted(1), "plan": PLAN}, "candidates[0]"),
        ({"plan": [PLAN[1], PLAN[0]]}, "plan[1].weight"),
        ({"candidates": weighted(1), "sticky_by": "colour"}, "sticky_by"),
        ({"candidates": weighted(1), "guards": {"error_ratio": 0.5}}, "guards.error_ratio"),
        ({"candidates": weighted(1), "gaurds": {}}, "gaurds"),
        ({"candidates": []}, "candidates"),
    ],
)
def test_a_fault_names_its_field(
    workshop: Workshop, model: str, body: dict[str, Any], field: str
) -> None:
    refused = start(workshop, model, **body)
    assert refused.status_code == 422, refused.text
    assert error(refused)["details"]["field"] == field


def test_a_candidate_has_to_be_ready_and_to_break_nothing(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={"fails": 1.0}, v2_0_0={"maximum": 0.75})
    refused = start(workshop, model, candidates=weighted(1))
    assert (refused.status_code, error(refused)["code"]) == (409, "VERSION_NOT_READY")
    breaking = [{"version": "v2.0.0", "weight": 1}]
    refused = start(workshop, model, candidates=breaking)
    assert (refused.status_code, error(refused)["code"]) == (409, "CONTRACT_BREAKING")
    assert start(workshop, model, candidates=breaking, allow_breaking=True).status_code == 201


def test_without_guards_nobody_judges(workshop: Workshop, model: str) -> None:
    assert start(workshop, model, candidates=weighted(1), guards=None).json()["guards"] is None
    act(workshop, model, "abort", {})
    assert start(workshop, model, candidates=weighted(1)).json()["guards"]["error_ratio"] == 1.0


@pytest.fixture
def limits(workshop: Workshop) -> redis.Redis:
    """The server that the counts of rollouts are on."""
    return redis.Redis.from_url(workshop.door.records_url)


async def count(limits: redis.Redis, rollout: dict[str, Any], *, failed: int) -> None:
    """What both sides did: 200 requests of as many subjects, of which the candidate's failed."""
    stage = f"{rollout['attempt']}.{rollout['step']}"
    for arm, side, bad in (("v1.1.0", Side.CANDIDATE, failed), ("control", Side.CONTROL, 0)):
        tally = Tally()
        for number in range(200):
            if number < bad:
                tally.failed(side, number % 64, f"{number:x}")
            else:
                tally.answered(side, number % 64, 0.01, "high")
        drained = tally.drain()
        for name, value in drained.counts.items():
            await limits.hincrby(layout.counts(rollout["id"], stage, arm), name, value)
        for subject in drained.failing[side]:
            await limits.sadd(layout.failed(rollout["id"], stage, arm), subject)


async def test_a_broken_candidate_is_rolled_back_by_itself_and_that_is_undone(
    workshop: Workshop, model: str, limits: redis.Redis
) -> None:
    rollout = start(workshop, model, plan=PLAN[1:]).json()
    await count(limits, rollout, failed=150)

    def ended() -> Any:
        report = workshop.root.get(f"/rollouts/{rollout['id']}").json()
        return report if report["outcome"] is not None else None

    report = eventually(ended, workshop.door.log.read_text)
    assert (report["outcome"], report["by"]) == ("rolled_back", "system")
    assert "150 of the candidate's 200 requests failed" in report["reason"]
    alarms = [each["test"] for each in report["report"]["findings"] if each["state"] == "alarm"]
    assert "failing_subjects" in alarms
    assert workshop.version(model, "v1.1.0")["rolled_back"] == rollout["id"]
    again = start(workshop, model, plan=PLAN[1:])
    assert error(again)["details"]["rolled_back"] == rollout["id"]
    undone = workshop.root.post(f"/rollouts/{rollout['id']}/undo")
    assert undone.status_code == 200, undone.text
    taken_up = workshop.root.get(f"/models/{model}/rollout").json()["rollout"]
    assert (taken_up["id"], taken_up["attempt"]) == (rollout["id"], 2)
    assert workshop.version(model, "v1.1.0")["rolled_back"] is None
    act(workshop, model, "abort", {})


async def test_the_status_has_counts_and_what_the_judge_says(
    workshop: Workshop, model: str, limits: redis.Redis
) -> None:
    rollout = start(workshop, model, plan=PLAN[1:]).json()
    await count(limits, rollout, failed=0)

    def judged() -> Any:
        counted = workshop.root.get(f"/models/{model}/rollout").json()["counted"]
        judgement = counted["judgement"]
        seen = judgement and judgement["verdicts"]["v1.1.0"]["findings"][0]["state"] == "clear"
        return counted if seen else None

    counted = eventually(judged, workshop.door.log.read_text)
    (sides,) = counted["sides"]
    for side in ("candidate", "control"):
        assert (sides[side]["requests"], sides[side]["failed"]) == (200, 0)
        assert sides[side]["percent"] == 10
        assert sides[side]["labels"] == {"high": 200}
        assert 0.009 < sides[side]["latency_p50_s"] < 0.012
    assert counted["judgement"]["verdicts"]["v1.1.0"]["decision"] == "hold"
    act(workshop, model, "abort", {})


async def test_a_shadow_is_reported_with_its_differences(
    workshop: Workshop, model: str, limits: redis.Redis
) -> None:
    rollout = start(
        workshop, model, candidates=[{"version": "v1.1.0", "shadow": 100}], keep_inputs=["x"]
    ).json()
    job = ShadowJob(
        rollout=rollout["id"],
        stage="1.0",
        ref=ModelRef(model, Version.parse("v1.1.0")),
        group=3,
        request_id="req_1",
        arrived=time.time(),
        inputs={"x": 0.25, "secret": "word"},
        answered=Predicted(label="low"),
        latency_s=0.01,
        keep_inputs=("x",),
    )
    said = ShadowAnswer(predicted=Predicted(label="high"), latency_s=0.02)
    counts = ShadowCounts(CountStore(limits))
    differences = Differences(limits, Sealer(SETTINGS["TIDEGATE_DATA_KEY"]))
    counts.compared(job, said, Comparison(agreed=False, distance=1.0))
    differences.note(job, said, 1.0)
    await counts.write()
    await differences.write()
    path = f"/rollouts/{rollout['id']}/shadow"
    report = workshop.root.get(f"{path}/v1.1.0").json()
    assert (report["compared"], report["agreement"]["value"]) == (1, 0.0)
    (difference,) = workshop.root.get(f"{path}/v1.1.0/differences").json()["items"]
    assert (difference["request_id"], difference["stable"]) == ("req_1", "low")
    assert difference["inputs"] == [
        {"name": "x", "type": "number", "length": None, "kept": "yes", "value": 0.25},
        {"name": "secret", "type": "string", "length": 4, "kept": "no"},
    ]
    status = workshop.root.get(f"/models/{model}/rollout").json()
    assert status["counted"]["shadows"]["v1.1.0"]["compared"] == 1
    assert workshop.root.get(f"{path}/v1.0.0").status_code == 404
    assert workshop.root.get(f"{path}/v1.1.0/differences?limit=201").status_code == 400
    ended = act(workshop, model, "abort", {}).json()
    assert ended["shadows"]["v1.1.0"]["compared"] == 1
    assert workshop.root.get(f"{path}/v1.1.0").status_code == 200


def test_lists_need_a_model_that_exists(workshop: Workshop) -> None:
    missing = workshop.root.get("/rollouts")
    assert error(missing)["details"]["parameter"] == "model"
    assert workshop.root.get("/rollouts", params={"model": "nothing"}).status_code == 404
    for unknown in ("ro_0", "ro_" + "0" * 16, "none"):
        assert workshop.root.get(f"/rollouts/{unknown}").status_code == 404
        assert workshop.root.post(f"/rollouts/{unknown}/undo").status_code == 404


def test_with_the_limits_server_away_counts_are_not_known(
    workshop: Workshop, model: str, tmp_path: Any
) -> None:
    rollout = start(workshop, model, candidates=weighted(10), guards=None).json()["id"]
    settings = {
        "triton_urls": workshop.triton,
        "model_repository": str(workshop.house.repository),
        "limits_redis_url": "redis://127.0.0.1:1/0",
    }
    with (
        admin_process(workshop.door.records_url, tmp_path, **settings) as door,
        door.client(door.root_key) as root,
    ):
        assert root.get(f"/models/{model}/rollout").json()["counted"] is None
        assert "accuracy" not in root.get(f"/models/{model}").json()["versions"][0]
        known = eventually(
            lambda: root.get(f"/rollouts/{rollout}").json().get("id"), door.log.read_text
        )
        assert known == rollout
        assert root.get(f"/rollouts/{rollout}").json()["shadows"] is None
        ended = root.post(f"/models/{model}/rollout/abort", json={})
        assert (ended.status_code, ended.json()["outcome"]) == (200, "aborted")
        assert "Traceback" not in door.log.read_text()
