"""Lives of versions by the operators' API, on a Triton that loads them."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.integration.admin.conftest import Door, Workshop
from tests.integration.local.processes import eventually


def post(workshop: Workshop, model: str, version: str, action: str, body: Any = None) -> Any:
    return workshop.root.post(f"/models/{model}/versions/{version}/{action}", json=body)


def error(answer: httpx.Response) -> dict[str, Any]:
    return dict(answer.json()["error"])


def test_an_added_directory_is_known_loaded_and_ready_without_a_restart(
    workshop: Workshop,
) -> None:
    model = workshop.model()
    workshop.house.put("v1.1.0", model=model)
    found = workshop.root.post("/repository/refresh").json()
    assert found["added"] == [{"model": model, "version": "v1.1.0"}]
    assert workshop.version(model, "v1.1.0")["life"] == "experimental"
    assert workshop.settled(model, "v1.1.0") == "ready"
    shown = workshop.root.get(f"/models/{model}").json()
    assert (shown["stable"], shown["latest"], shown["canary"]) == ("v1.0.0", "v1.1.0", None)
    assert shown["versions"][1]["triton"] == f"{model}_v1_1_0/1"


def test_a_faulty_contract_is_named_and_the_rest_is_served(workshop: Workshop) -> None:
    model = workshop.model()
    workshop.house.put("v1.1.0", model=model)
    folder = workshop.house.put("v1.2.0", model=model)
    contract = workshop.house.repository / folder / "1" / "contract.yaml"
    contract.write_text(contract.read_text().replace("FP32", "FP33"))
    found = workshop.root.post("/repository/refresh").json()
    contract.unlink()
    assert found["added"] == [{"model": model, "version": "v1.1.0"}]
    (fault,) = [each for each in found["faults"] if each["file"].startswith(folder)]
    assert fault["line"] > 0
    assert fault["remedy"]


def test_a_version_is_promoted_once_it_is_ready(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={})
    promoted = post(workshop, model, "v1.1.0", "promote", {})
    assert promoted.status_code == 200, promoted.text
    assert promoted.json()["stable"] == "v1.1.0"
    assert promoted.headers["etag"] == f'"{promoted.json()["revision"]}"'
    assert [each["life"] for each in promoted.json()["versions"]] == ["stable", "stable"]
    entries = workshop.root.get("/audit", params={"target": f"model:{model}"}).json()["items"]
    assert [entry["action"] for entry in entries] == ["version.promote", "model.seen"]
    assert entries[0]["who"] == "k:bootstrap"


def test_a_version_whose_examples_fail_is_not_promoted(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={"fails": 1.0})
    assert workshop.settled(model, "v1.1.0") == "refused"
    refused = post(workshop, model, "v1.1.0", "promote", {"allow_breaking": True})
    assert (refused.status_code, error(refused)["code"]) == (409, "VERSION_NOT_READY")
    assert "example 0 fails" in error(refused)["details"]["reasons"][0]
    assert workshop.root.get(f"/models/{model}").json()["stable"] == "v1.0.0"


def test_a_contract_that_breaks_needs_to_be_allowed(workshop: Workshop) -> None:
    model = workshop.model(v2_0_0={"maximum": 0.75})
    refused = post(workshop, model, "v2.0.0", "promote", {})
    assert (refused.status_code, error(refused)["code"]) == (409, "CONTRACT_BREAKING")
    details = error(refused)["details"]
    assert details["calls_for"] == "v2.0.0"
    assert [change["where"] for change in details["changes"]] == ["/inputs/properties/x/maximum"]
    allowed = post(workshop, model, "v2.0.0", "promote", {"allow_breaking": True})
    assert allowed.json()["stable"] == "v2.0.0"


def test_a_difference_is_explained(workshop: Workshop) -> None:
    model = workshop.model(v2_0_0={"maximum": 0.75})

    def diff(**query: str) -> httpx.Response:
        return workshop.root.get(f"/models/{model}/diff", params=query)

    narrower = diff(**{"from": "v1.0.0", "to": "v2.0.0"}).json()
    assert (narrower["is_compatible"], narrower["calls_for"]) == (False, "v2.0.0")
    assert diff(**{"from": "v2.0.0", "to": "v1.0.0"}).json()["is_compatible"]
    assert error(diff(to="v2.0.0"))["details"]["parameter"] == "from"
    assert error(diff(**{"from": "v1.0.0"}))["details"]["parameter"] == "to"
    assert error(diff(**{"from": "v1.0.0", "to": "v9.0.0"}))["code"] == "MODEL_VERSION_NOT_FOUND"
    assert error(diff(**{"from": "v1.0.0", "to": "latest\n"}))["code"] == "MODEL_VERSION_NOT_FOUND"


def test_a_sunset_retires_by_itself(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={})
    assert post(workshop, model, "v1.1.0", "promote", {}).status_code == 200
    sunset, info = int(time.time()) + 2, "https://example.com/v1"
    body = {"sunset_at": sunset, "info": info}
    announced = post(workshop, model, "v1.0.0", "deprecate", body).json()["versions"][0]
    assert (announced["life"], announced["sunset_at"]) == ("deprecated", sunset)
    assert announced["info"] == info
    eventually(
        lambda: workshop.version(model, "v1.0.0")["life"] == "retired", workshop.door.log.read_text
    )
    entries = workshop.root.get("/audit", params={"target": f"model:{model}"}).json()["items"]
    assert (entries[0]["action"], entries[0]["who"]) == ("version.retire", "system")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "sunset_at"),
        ({"sunset_at": 1}, "sunset_at"),
        ({"sunset_at": 253_402_300_800}, "sunset_at"),
        ({"sunset_at": 253_402_300_799, "info": "ftp://x"}, "info"),
        ({"sunset_at": 253_402_300_799, "more": 1}, "more"),
    ],
)
def test_a_notice_out_of_range_names_its_field(
    workshop: Workshop, body: dict[str, Any], field: str
) -> None:
    refused = post(workshop, "first", "v1.0.0", "deprecate", body)
    assert (refused.status_code, error(refused)["details"]["field"]) == (422, field)


def test_the_stable_version_is_not_taken_away(workshop: Workshop) -> None:
    model = workshop.model()
    notice = {"sunset_at": int(time.time()) + 1000}
    for action, body in (("deprecate", notice), ("retire", None), ("unload", None)):
        refused = post(workshop, model, "v1.0.0", action, body)
        assert (refused.status_code, error(refused)["code"]) == (409, "LIFE_CONFLICT"), action


def test_a_retired_version_is_revived_and_loaded_again(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={})
    retired = post(workshop, model, "v1.1.0", "retire").json()["versions"][1]
    assert (retired["life"], retired["loaded"]) == ("retired", False)
    assert error(post(workshop, model, "v1.1.0", "load"))["code"] == "LIFE_CONFLICT"
    revived = post(workshop, model, "v1.1.0", "revive").json()["versions"][1]
    assert (revived["life"], revived["loaded"]) == ("experimental", True)
    assert workshop.settled(model, "v1.1.0") == "ready"


def test_what_failed_is_tried_again_at_once_when_it_is_loaded(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={"fails": 1.0})
    folder = workshop.house.repository / f"{model}_v1_1_0" / "1"
    (folder / "behaviour.json").write_text("{}")
    (folder / "model.py").touch()
    assert post(workshop, model, "v1.1.0", "load").status_code == 200
    eventually(lambda: workshop.settled(model, "v1.1.0") == "ready", workshop.door.log.read_text)


def test_a_version_is_not_wanted_once_it_is_unloaded(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={})
    assert post(workshop, model, "v1.1.0", "unload").json()["versions"][1]["loaded"] is False
    refused = post(workshop, model, "v1.1.0", "promote", {})
    assert error(refused)["details"]["reasons"] == ["an operator unloaded it; load it first"]
    assert post(workshop, model, "v1.1.0", "load").json()["versions"][1]["loaded"] is True


def test_aliases(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={})

    def put(alias: str, version: str) -> httpx.Response:
        return workshop.root.put(f"/models/{model}/aliases/{alias}", json={"version": version})

    assert put("blue", "v1.1.0").json()["aliases"] == {"blue": "v1.1.0"}
    assert put("blue", "v1.0.0").json()["aliases"] == {"blue": "v1.0.0"}
    assert put("latest", "v1.0.0").status_code == 422
    assert put("v2", "v1.0.0").status_code == 422
    assert put("green", "v3.0.0").status_code == 404
    deleted = workshop.root.delete(f"/models/{model}/aliases/blue")
    assert (deleted.status_code, deleted.json()["aliases"]) == (200, {})
    assert workshop.root.delete(f"/models/{model}/aliases/blue").status_code == 404


def test_a_change_is_made_at_the_revision_that_is_meant(workshop: Workshop) -> None:
    model = workshop.model(v1_1_0={})
    path = f"/models/{model}/versions/v1.1.0"
    late = workshop.root.post(f"{path}/promote", json={}, headers={"if-match": '"7"'})
    assert (late.status_code, error(late)["code"]) == (409, "REVISION_CONFLICT")
    tag = workshop.root.get(f"/models/{model}").headers["etag"]
    assert workshop.root.post(f"{path}/retire", headers={"if-match": tag}).status_code == 200


def test_models_come_in_pages(workshop: Workshop) -> None:
    names = {workshop.model(), workshop.model(), "first"}
    found, cursor = [], None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = workshop.root.get("/models", params=query).json()
        found += [model["name"] for model in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names <= set(found)
    assert found == sorted(set(found))


def test_accuracy_is_shown_of_single_models(workshop: Workshop) -> None:
    model = workshop.model()
    assert workshop.version(model, "v1.0.0")["accuracy"] is None
    listed = workshop.root.get("/models", params={"limit": "200"}).json()["items"]
    assert all("accuracy" not in each for item in listed for each in item["versions"])


def test_what_does_not_exist_is_404(workshop: Workshop) -> None:
    model = workshop.model()
    assert workshop.root.get("/models/nothing").status_code == 404
    missing = post(workshop, model, "v9.0.0", "promote", {})
    assert (missing.status_code, error(missing)["code"]) == (404, "MODEL_VERSION_NOT_FOUND")
    assert error(post(workshop, model, "stable", "retire"))["code"] == "MODEL_VERSION_NOT_FOUND"


def test_with_every_triton_away_it_says_so(door: Door, root: httpx.Client) -> None:
    def seen() -> bool:
        return root.get("/models/sentiment").is_success

    eventually(seen, door.log.read_text)
    versions = root.get("/models/sentiment").json()["versions"]
    assert {server["state"] for each in versions for server in each["servers"]} == {"away"}
    refused = root.post("/models/sentiment/versions/v1.0.0/promote", json={"allow_breaking": True})
    assert error(refused)["details"]["reasons"] == ["no Triton answers"]
