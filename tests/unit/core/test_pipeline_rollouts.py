"""Which side of a rollout answers, what the client is told of it, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from control_plane.admission.principal import Principal
from control_plane.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelUnavailable,
    Overloaded,
    TidegateError,
)
from control_plane.inference.backend import (
    BackendBusy,
    BackendError,
    BackendFailed,
    BackendTimeout,
    ModelNotLoaded,
)
from control_plane.pipeline import Prediction
from control_plane.routing.split import Split, allocate
from control_plane.routing.state import Candidate, Rollout
from control_plane.types import InferenceRequest, Tensor
from tests.unit.core.deployment import Deployment

SUBJECTS = 400


def rolled_out(deployment: Deployment, weight: float, **fields: Any) -> Rollout:
    """Let version 1 be tried beside version 2, which is stable."""
    split = allocate(Split(), {"v1.0.0": weight})
    candidate = Candidate(version="v1.0.0", weight=weight)
    rollout = Rollout(
        id="ro_test", stable="v2.0.0", candidates=(candidate,), buckets=split.buckets,
        control=split.control, **{"sticky_by": "header:x-user", **fields},
    )  # fmt: skip
    deployment.offer.follow({"house": structs.replace(deployment.state, rollout=rollout)})
    return rollout


async def asked(deployment: Deployment, user: int, **call: Any) -> Prediction:
    body = {"inputs": call.pop("inputs", {"x": 5}), **call.pop("body", {})}
    headers = {b"x-user": b"u%d" % user}
    return await deployment.predict(body, headers=headers, **call)


def counts(deployment: Deployment) -> dict[str, Mapping[str, int]]:
    """What each arm was counted with, by arm."""
    tallies = deployment.trials._tallies
    return {arm[2]: tally.drain().counts for arm, tally in tallies.items()}


def total(found: Mapping[str, int], name: str) -> int:
    return sum(count for field, count in found.items() if field.split("|")[2] == name)


async def test_a_subject_stays_on_its_side_and_is_told_of_the_rollout(
    deployment: Deployment,
) -> None:
    rolled_out(deployment, 25)
    sides = {}
    for user in range(SUBJECTS):
        prediction = await asked(deployment, user)
        sides[user] = prediction.version
        assert prediction.rollout == "ro_test"
    assert {"v1.0.0", "v2.0.0"} == set(sides.values())
    for user in range(0, SUBJECTS, 10):
        assert (await asked(deployment, user)).version == sides[user]
    rolled_out(deployment, 60)
    grown = {user: (await asked(deployment, user)).version for user in range(SUBJECTS)}
    assert all(grown[user] == "v1.0.0" for user in sides if sides[user] == "v1.0.0")
    assert sum(version == "v1.0.0" for version in grown.values()) > SUBJECTS // 2


async def test_candidate_and_control_are_counted_and_the_rest_is_not(
    deployment: Deployment,
) -> None:
    rolled_out(deployment, 20)
    versions = [(await asked(deployment, user)).version for user in range(SUBJECTS)]
    found = counts(deployment)
    assert found.keys() == {"v1.0.0", "control"}
    assert total(found["v1.0.0"], "requests") == versions.count("v1.0.0")
    assert total(found["v1.0.0"], "latency") == versions.count("v1.0.0")
    assert 0 < total(found["control"], "requests") < versions.count("v2.0.0")


@pytest.mark.parametrize("named", [{"selector": "v2"}, {"selector": "latest"}, {"body": {
    "model_version": "v2.0.0"}}])  # fmt: skip
async def test_who_names_a_version_takes_no_part(
    deployment: Deployment, named: dict[str, Any]
) -> None:
    rolled_out(deployment, 100)
    prediction = await asked(deployment, 1, **named)
    assert (prediction.version, prediction.rollout) == ("v2.0.0", None)
    assert counts(deployment) == {}


async def test_stable_takes_part_and_canary_is_the_candidate(deployment: Deployment) -> None:
    rolled_out(deployment, 100)
    assert (await asked(deployment, 1, selector="stable")).version == "v1.0.0"
    chosen = await asked(deployment, 1, selector="canary")
    assert (chosen.version, chosen.rollout) == ("v1.0.0", None)


async def test_what_the_candidate_does_not_take_the_stable_version_answers_uncounted(
    deployment: Deployment, caller: Principal
) -> None:
    rolled_out(deployment, 100, sticky_by="tenant")
    swapped = structs.replace(
        deployment.offer.states["house"].rollout,  # type: ignore[type-var]
        stable="v1.0.0",
        candidates=(Candidate(version="v2.0.0", weight=100),),
        buckets={"v2.0.0": ((0, 1000),)},
    )
    state = structs.replace(deployment.state, stable="v1.0.0", rollout=swapped)
    deployment.offer.follow({"house": state})
    assert (await asked(deployment, 1)).version == "v2.0.0"
    too_large = await asked(deployment, 1, inputs={"x": 500})
    assert (too_large.version, too_large.rollout) == ("v1.0.0", "ro_test")
    nobody = structs.replace(caller, kind="anonymous", scopes=(), tenant="")
    assert (await asked(deployment, 1, principal=nobody)).version == "v1.0.0"
    assert total(counts(deployment)["v2.0.0"], "requests") == 1
    with pytest.raises(TidegateError) as caught:
        await asked(deployment, 1, inputs={"x": 5000})
    assert caught.value.code == "INVALID_INPUT"


async def test_a_candidate_that_is_away_has_failed_and_no_client_sees_it(
    deployment: Deployment,
) -> None:
    rolled_out(deployment, 100)
    backing = next(
        made.backing for ref, made in deployment.contracts.items() if str(ref.version) == "v1.0.0"
    )
    del deployment.backend.models[backing]
    await deployment.look()
    assert (await asked(deployment, 1)).version == "v2.0.0"
    found = counts(deployment)["v1.0.0"]
    assert (total(found, "failed"), total(found, "requests")) == (1, 1)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (BackendFailed, ModelFailed),
        (BackendTimeout, DeadlineExceeded),
    ],
)
async def test_faults_of_the_version_are_blamed_on_it(
    deployment: Deployment, raised: type[BackendError], told: type[TidegateError]
) -> None:
    rolled_out(deployment, 100)

    def broken(request: InferenceRequest) -> dict[str, Tensor]:
        raise raised("by the model")

    deployment.backend.models[next(iter(deployment.backend.models))] = broken
    with pytest.raises(told):
        await asked(deployment, 1)
    found = counts(deployment)["v1.0.0"]
    assert (total(found, "failed"), total(found, "latency")) == (1, 0)


async def test_a_candidate_that_goes_meanwhile_is_stood_in_for(deployment: Deployment) -> None:
    rolled_out(deployment, 100)

    def gone(request: InferenceRequest) -> dict[str, Tensor]:
        raise ModelNotLoaded("unloaded")

    deployment.backend.models[next(iter(deployment.backend.models))] = gone
    assert (await asked(deployment, 1)).version == "v2.0.0"
    found = counts(deployment)
    assert found.keys() == {"v1.0.0"}
    assert total(found["v1.0.0"], "failed") == 1


async def test_an_outage_of_everything_is_no_failure_of_the_candidate(
    deployment: Deployment,
) -> None:
    rolled_out(deployment, 100)
    deployment.backend.reachable = False
    await deployment.look()
    with pytest.raises(ModelUnavailable):
        await asked(deployment, 1)
    assert counts(deployment) == {}


async def test_a_deadline_that_the_client_cut_short_is_blamed_on_nobody(
    deployment: Deployment,
) -> None:
    rolled_out(deployment, 100)

    def slow(request: InferenceRequest) -> dict[str, Tensor]:
        raise BackendTimeout("too late")

    deployment.backend.models[next(iter(deployment.backend.models))] = slow
    with pytest.raises(DeadlineExceeded):
        await asked(deployment, 1, timeout_ms=100)
    assert counts(deployment) == {}


async def test_what_is_shed_or_the_clients_own_is_blamed_on_nobody(deployment: Deployment) -> None:
    rolled_out(deployment, 100)

    def busy(request: InferenceRequest) -> dict[str, Tensor]:
        raise BackendBusy("queue full")

    deployment.backend.models[next(iter(deployment.backend.models))] = busy
    with pytest.raises(Overloaded):
        await asked(deployment, 1)
    with pytest.raises(InvalidInput):
        await asked(deployment, 1, inputs={"x": "five"})
    assert counts(deployment) == {}


@pytest.mark.parametrize(
    ("sticky_by", "first", "second", "same"),
    [
        ("tenant", {}, {"client": "k:other"}, True),
        ("tenant", {}, {"subject": "t:other"}, False),
        ("key", {}, {"client": "k:other"}, False),
        ("header:X-Absent", {}, {"client": "k:other"}, False),
        ("field:absent", {}, {"subject": "t:other"}, True),
    ],
)
async def test_what_a_subject_is(
    deployment: Deployment,
    caller: Principal,
    sticky_by: str,
    first: dict[str, str],
    second: dict[str, str],
    *,
    same: bool,
) -> None:
    rolled_out(deployment, 10, sticky_by=sticky_by)
    seats = []
    seat = deployment.offer.router.model("house").experiment
    assert seat is not None
    taken = seat.seat

    def noted(subject: str) -> Any:
        seats.append(subject)
        return taken(subject)

    seat.seat = noted  # type: ignore[method-assign]
    for change in (first, second):
        await asked(deployment, 1, principal=structs.replace(caller, **change))
    assert (seats[0] == seats[1]) is same


async def test_a_field_of_the_inputs_may_be_the_subject(deployment: Deployment) -> None:
    rolled_out(deployment, 50, sticky_by="field:x")
    by_value = {x: (await asked(deployment, x, inputs={"x": x})).version for x in range(10)}
    assert set(by_value.values()) == {"v1.0.0", "v2.0.0"}
    for x, version in by_value.items():
        assert (await asked(deployment, x + 100, inputs={"x": x})).version == version
