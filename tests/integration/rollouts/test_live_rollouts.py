"""Rollouts under traffic, against the real Triton: judged, rolled back, promoted, shadowed."""

from __future__ import annotations

from tests.integration.rollouts.town import Town
from tests.stack import until


def test_a_version_that_fails_is_taken_back_by_itself(town: Town) -> None:
    with town.traffic("brittle").flowing() as traffic:
        started = town.start("brittle", candidates=[{"version": "v1.1.0", "weight": 20}])
        report = town.ended("brittle")
        town.settled()
        before = traffic.statuses.copy()
        assert until(lambda: traffic.total > before.total() + 200, 60)
        after = traffic.statuses - before
    assert (report["outcome"], report["by"]) == ("rolled_back", "system")
    assert "failing" in report["reason"] or "failed" in report["reason"]
    assert report["report"]["findings"]
    assert set(after) == {200}, after
    assert set(before) <= {200, 502}
    assert traffic.rollouts == {"", started["id"]}
    assert town.default("brittle") == "v1.0.0"
    refused = town.operate(
        "POST", "/models/brittle/rollout", 409, candidates=[{"version": "v1.1.0", "weight": 20}]
    )
    assert refused["error"]["code"] == "LIFE_CONFLICT"
    assert report["id"] in refused["error"]["message"]


def test_a_version_that_is_slow_is_taken_back_by_itself(town: Town) -> None:
    with town.traffic("slowing").flowing() as traffic:
        town.start("slowing", candidates=[{"version": "v1.1.0", "weight": 20}])
        report = town.ended("slowing")
    assert report["outcome"] == "rolled_back"
    assert "latency" in report["reason"]
    assert set(traffic.statuses) == {200}


def test_a_good_version_takes_over_step_by_step_and_no_request_is_lost(town: Town) -> None:
    step = {"min_duration_s": 3, "min_requests": 20}
    plan = [{"shadow": 100, **step}, {"weight": 20, **step}, {"weight": 50, **step}]
    with town.traffic("steady").flowing() as traffic:
        town.start("steady", candidates=[{"version": "v1.1.0"}], plan=plan)
        report = town.ended("steady")
        town.settled()
        town.operate(
            "POST", "/models/steady/versions/v1.0.0/deprecate", sunset_at=4_000_000_000,
            info="https://example.com/steady",
        )  # fmt: skip
        town.settled()
    assert (report["outcome"], report["promoted"]) == ("promoted", "v1.1.0")
    assert set(traffic.statuses) == {200}, traffic.failures[:3]
    assert town.default("steady") == "v1.1.0"
    for seen in traffic.versions.values():
        assert seen in (["v1.0.0"], ["v1.1.0"], ["v1.0.0", "v1.1.0"])
    old = town.stack.model("steady", {"x": 0.5}, headers={"X-Model-Version": "v1.0.0"})
    assert old.status_code == 200
    assert old.headers["deprecation"].startswith("@")
    assert old.headers["sunset"] == "Tue, 02 Oct 2096 07:06:40 GMT"
    assert '<https://example.com/steady>; rel="deprecation"' in old.headers["link"]
    assert 'rel="successor-version"' in old.headers["link"]


def test_a_shadow_is_seen_by_nobody_and_its_differences_are_reported(town: Town) -> None:
    with town.traffic("watched").flowing() as traffic:
        started = town.start(
            "watched", candidates=[{"version": "v1.1.0", "shadow": 100}], guards=None,
            keep_inputs=["x"],
        )  # fmt: skip
        assert until(lambda: traffic.total > 400, 60)
        path = f"/rollouts/{started['id']}"
        town.eventually(lambda: town.operate("GET", f"{path}/shadow/v1.1.0")["compared"] > 100)
        report = town.operate("GET", f"{path}/shadow/v1.1.0")
        differences = town.operate("GET", f"{path}/shadow/v1.1.0/differences")["items"]
        town.operate("POST", "/models/watched/rollout/abort")
    assert set(traffic.statuses) == {200}
    assert all(seen == ["v1.0.0"] for seen in traffic.versions.values())
    assert 0.6 < report["agreement"]["value"] < 0.95
    assert differences[0]["stable"] != differences[0]["shadow"]
    assert differences[0]["inputs"][0]["name"] == "x"


def test_a_version_that_breaks_the_contract_needs_leave(town: Town) -> None:
    diff = town.operate("GET", "/models/growing/diff?from=v1.0.0&to=v2.0.0")
    assert not diff["is_compatible"]
    assert "/inputs/properties/x/maximum" in {change["where"] for change in diff["changes"]}
    refused = town.operate("POST", "/models/growing/versions/v2.0.0/promote", 409)
    assert refused["error"]["code"] == "CONTRACT_BREAKING"
    path, allowed = "/models/growing/versions/v2.0.0/promote", {"allow_breaking": True}
    town.eventually(lambda: town.stack.operators.post(path, json=allowed).is_success)
    assert until(lambda: town.default("growing") == "v2.0.0", 10)
    narrow = town.stack.model("growing", {"x": 0.9})
    assert "v1.0.0" in narrow.json()["error"]["details"]["accepted_by"]


def test_a_version_that_comes_later_answers_without_a_restart(town: Town) -> None:
    town.house.put("v1.2.0", model="growing", status="stable")
    found = town.operate("POST", "/repository/refresh")
    assert "growing v1.2.0" in str(found["added"]) or "v1.2.0" in str(found["added"])
    chosen = {"X-Model-Version": "v1.2.0"}
    town.eventually(
        lambda: town.stack.model("growing", {"x": 0.9}, headers=chosen).status_code == 200
    )
    assert town.default("growing") != "v1.2.0"


def test_a_version_that_fails_its_example_never_gets_traffic(town: Town) -> None:
    town.house.put("v1.3.0", model="growing", fails=1.1)
    town.operate("POST", "/repository/refresh")

    def refusal() -> str:
        servers = town.operate("GET", "/models/growing")["versions"]
        return str(next(each for each in servers if each["version"] == "v1.3.0"))

    assert until(lambda: "example 0 fails" in refusal(), 60), refusal()
    chosen = {"X-Model-Version": "v1.3.0"}
    answer = town.stack.model("growing", {"x": 0.9}, headers=chosen)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "MODEL_UNAVAILABLE")
    refused = town.operate(
        "POST", "/models/growing/versions/v1.3.0/promote", 409, allow_breaking=True
    )
    assert refused["error"]["code"] == "VERSION_NOT_READY"


def test_a_contract_that_became_faulty_stays_in_force(town: Town) -> None:
    contract = town.house.repository / "watched_v1_0_0" / "1" / "contract.yaml"
    sound = contract.read_text()
    contract.write_text("{{{")
    try:
        found = town.operate("POST", "/repository/refresh")
        assert found["gone"] == []
        assert "watched_v1_0_0/1/contract.yaml" in str(found["faults"])
        town.settled()
        answer = town.stack.model("watched", {"x": 0.5})
        assert (answer.status_code, answer.headers["x-model-version"]) == (200, "v1.0.0")
        contract.write_text(sound.replace("deadline_ms: 3000", "deadline_ms: 10"))
        changed = town.operate("POST", "/repository/refresh")
        assert "stays in force" in str(changed["faults"])
    finally:
        contract.write_text(sound)
        assert town.operate("POST", "/repository/refresh")["faults"] == []


def test_names_that_are_no_inputs_are_refused(town: Town) -> None:
    body = {
        "candidates": [{"version": "v1.1.0", "weight": 10}],
        "sticky_by": "field:nope",
        "keep_inputs": ["x", "y"],
    }
    refused = town.operate("POST", "/models/watched/rollout", 422, **body)
    fields = {fault["field"] for fault in refused["error"]["errors"]}
    assert fields == {"sticky_by", "keep_inputs[1]"}


def test_a_version_that_broke_since_it_was_loaded_is_found_out_before_it_is_trusted(
    town: Town,
) -> None:
    chosen = {"X-Model-Version": "v1.1.0"}
    town.eventually(
        lambda: town.stack.model("watched", {"x": 0.5}, headers=chosen).status_code == 200
    )
    broken = town.house.repository / "watched_v1_1_0" / "1" / "broken"
    broken.touch()
    try:
        promote = "/models/watched/versions/v1.1.0/promote"
        refused = town.operate("POST", promote, 409)
        assert refused["error"]["code"] == "VERSION_NOT_READY"
        assert "example 0 fails" in str(refused["error"]["details"]["reasons"])
        town.operate(
            "POST", "/models/watched/rollout", 409,
            candidates=[{"version": "v1.1.0", "weight": 10}],
        )  # fmt: skip
    finally:
        broken.unlink()
        town.stack.operators.post("/models/watched/versions/v1.1.0/load", json={})
