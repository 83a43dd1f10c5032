"""The version of work that is left: as a rollout decides for its subject, without a trial."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from msgspec import structs

from control_plane.admission.accounts.shapes import STANDARD_TIERS, Limits, Tier
from control_plane.admission.principal import Principal
from control_plane.choice import Pinned, PredictCall
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import Envelope
from control_plane.errors import Forbidden, InvalidInput, NotAvailable, Unauthenticated
from control_plane.jobs.pricing import Accepted, accepted_by, price_of
from control_plane.jobs.shapes import Task
from control_plane.routing.split import Split, allocate
from control_plane.routing.state import Candidate, Rollout
from tests.unit.core.deployment import Deployment

SUBJECTS = 200


@pytest.fixture
def tenant(caller: Principal) -> Principal:
    """Who may have jobs."""
    return structs.replace(caller, kind="key", tenant="acme", scopes=("predict", "jobs"))


def rolled_out(deployment: Deployment, stable: str, candidate: str, weight: float) -> None:
    split = allocate(Split(), {candidate: weight})
    rollout = Rollout(
        id="ro_test", stable=stable, candidates=(Candidate(version=candidate, weight=weight),),
        buckets=split.buckets, control=split.control, sticky_by="header:x-user",
    )  # fmt: skip
    state = structs.replace(deployment.state, stable=stable, rollout=rollout)
    deployment.offer.follow({"house": state})


def pinned(
    deployment: Deployment,
    principal: Principal,
    inputs: Any,
    task: Task = Task.PREDICT,
    user: int = 1,
    **call: Any,
) -> Pinned:
    headers = {b"x-user": b"u%d" % user}
    asked = PredictCall(None, time.perf_counter(), principal, headers=headers, **call)
    chooser = deployment.pipeline.chooser
    return chooser.pin(asked, Envelope(inputs), accepted_by(chooser, task, max_batch=3))


async def test_a_subject_is_pinned_to_its_side_and_nothing_is_counted(
    deployment: Deployment, tenant: Principal
) -> None:
    rolled_out(deployment, "v2.0.0", "v1.0.0", 40)
    for user in range(SUBJECTS):
        chosen = pinned(deployment, tenant, {"x": 5}, user=user).contract.version
        body, headers = {"inputs": {"x": 5}}, {b"x-user": b"u%d" % user}
        if user % 20 == 0:
            deployment.trials._tallies.clear()
            assert (await deployment.predict(body, headers=headers)).version == chosen
            deployment.trials._tallies.clear()
    assert not deployment.trials._tallies


async def test_what_the_candidate_does_not_take_is_the_stable_versions(
    deployment: Deployment, tenant: Principal
) -> None:
    rolled_out(deployment, "v1.0.0", "v2.0.0", 100)
    assert pinned(deployment, tenant, {"x": 5}).contract.version == "v2.0.0"
    assert pinned(deployment, tenant, {"x": 500}).contract.version == "v1.0.0"
    with pytest.raises(InvalidInput):
        pinned(deployment, tenant, {"x": 5000})


async def test_a_version_that_is_away_is_pinned_all_the_same(
    deployment: Deployment, tenant: Principal
) -> None:
    deployment.backend.models.clear()
    await deployment.look()
    assert pinned(deployment, tenant, {"x": 5}, selector="v1").contract.version == "v1.0.0"


async def test_both_rights_are_needed(deployment: Deployment, tenant: Principal) -> None:
    for scopes, lacking in [
        (("jobs",), "predict:house"),
        (("predict", "jobs:wine"), "jobs:house"),
        (("predict:house",), "jobs:house"),
    ]:
        with pytest.raises(Forbidden) as caught:
            pinned(deployment, structs.replace(tenant, scopes=scopes), {"x": 5})
        assert caught.value.details == {"scope": lacking}
    nobody = structs.replace(tenant, kind="anonymous", tenant="", scopes=())
    with pytest.raises(Unauthenticated):
        pinned(deployment, nobody, {"x": 5}, selector="v1")


async def test_items_of_a_batch_are_taken_as_they_are(
    deployment: Deployment, tenant: Principal
) -> None:
    items = [{"x": 5}, {"y": 1}, {}]
    chosen = pinned(deployment, tenant, items, Task.BATCH)
    assert chosen.inputs == Accepted(items)
    with pytest.raises(InvalidInput):
        pinned(deployment, tenant, [*items, {}], Task.BATCH)


@pytest.mark.parametrize("task", [Task.PREDICT, Task.BATCH])
async def test_an_explanation_is_not_offered(
    deployment: Deployment, tenant: Principal, task: Task
) -> None:
    chooser = deployment.pipeline.chooser
    call = PredictCall(None, time.perf_counter(), tenant)
    inputs: Any = {"x": 5} if task is Task.PREDICT else [{"x": 5}]
    with pytest.raises(NotAvailable):
        chooser.pin(call, Envelope(inputs, explain=True), accepted_by(chooser, task, max_batch=3))


async def test_a_batch_costs_as_many_predictions(deployment: Deployment, tenant: Principal) -> None:
    contract: CompiledContract = pinned(deployment, tenant, {"x": 5}).contract
    assert contract.contract.units == 2
    single = price_of(contract, Task.PREDICT, Accepted({"x": 5}), {})
    assert (single.cost, single.units) == (1, 2)
    several = price_of(contract, Task.BATCH, Accepted([{}] * 7), {})
    assert (several.cost, several.units) == (7, 14)


def test_a_tier_that_was_kept_without_a_priority_can_be_read() -> None:
    kept = {"name": "old", "limits": {"requests": 1, "burst": 1, "concurrency": 1}}
    read = msgspec.convert(kept, Tier)
    assert read.limits.priority == "low"
    assert Limits(requests=1, burst=1, concurrency=1).priority == "low"
    assert {tier.name: tier.limits.priority for tier in STANDARD_TIERS} == {
        "anonymous": "low",
        "free": "low",
        "pro": "normal",
        "enterprise": "high",
        "internal": "high",
    }
