"""The stages in their order: from a body to an answer, or to everything that is wrong with it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from msgspec import structs

from control_plane.admission.limits.permit import Permit
from control_plane.admission.principal import Principal
from control_plane.choice import PredictCall
from control_plane.errors import InvalidInput, TidegateError
from control_plane.inference.lanes import Lanes
from control_plane.inference.memory import MemoryBackend
from control_plane.inference.pool import BackendPool
from control_plane.offer import Offer
from control_plane.pipeline import Pipeline
from control_plane.types import Backing, InferenceRequest, Tensor
from tests.unit.core.deployment import Deployment, observer


async def refused(deployment: Deployment, body: Any, **call: Any) -> TidegateError:
    with pytest.raises(TidegateError) as caught:
        await deployment.predict(body, **call)
    return caught.value


async def test_a_prediction_says_who_answered_at_what_price_and_how_long_it_took(
    deployment: Deployment,
) -> None:
    started = time.perf_counter()
    prediction = await deployment.predict({"inputs": {"x": 5}})
    whole = time.perf_counter() - started
    assert (prediction.model, prediction.version) == ("house", "v2.0.0")
    assert prediction.answer.data == {"outputs": {"X": [5.0]}}
    assert (prediction.units, prediction.shared) == (2, 1)
    times = (prediction.admission_s, prediction.queue_s, prediction.inference_s)
    assert min(times) >= 0
    assert sum(times) <= whole


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"model_version": "v1"}, {}),
        ({}, {"selector": "v1"}),
        ({"model": "house", "model_version": "v1"}, {"model": "house", "selector": "v1"}),
    ],
)
async def test_model_and_version_may_be_named_in_any_place(
    deployment: Deployment, body: dict[str, Any], call: dict[str, Any]
) -> None:
    prediction = await deployment.predict({"inputs": {"x": 5}, **body}, **call)
    assert (prediction.model, prediction.version) == ("house", "v1.0.0")


@pytest.mark.parametrize(
    ("body", "call", "code"),
    [
        ({"model_version": "v1"}, {"selector": "v2"}, "VERSION_CONFLICT"),
        ({"model": "wine"}, {"model": "house"}, "MODEL_CONFLICT"),
        ({"model": "wine"}, {}, "MODEL_NOT_FOUND"),
        ({"model_version": "v9"}, {}, "MODEL_VERSION_NOT_FOUND"),
        ({"model_version": "v3"}, {}, "MODEL_VERSION_RETIRED"),
        ({"options": {"explain": True}}, {}, "NOT_AVAILABLE"),
    ],
)
async def test_what_cannot_be_done_has_its_own_code(
    deployment: Deployment, body: dict[str, Any], call: dict[str, Any], code: str
) -> None:
    error = await refused(deployment, {"inputs": {"x": 5}, **body}, **call)
    assert error.code == code
    assert deployment.backend.calls == []


async def test_faults_of_inputs_and_options_are_told_together(deployment: Deployment) -> None:
    body = {"inputs": {"x": "a", "y": 1}, "options": {"explain": "much"}, "extra": 1}
    error = await refused(deployment, body)
    assert isinstance(error, InvalidInput)
    assert {fault.field for fault in error.faults} == {"x", "y", "options.explain", "extra"}


async def test_other_versions_that_would_take_the_inputs_are_named(deployment: Deployment) -> None:
    error = await refused(deployment, {"inputs": {"x": 50}})
    assert isinstance(error, InvalidInput)
    assert [fault.accepted_by for fault in error.faults] == [["v1.0.0"]]


async def test_no_version_is_named_for_what_none_would_take(deployment: Deployment) -> None:
    error = await refused(deployment, {"inputs": {"x": "a"}})
    assert isinstance(error, InvalidInput)
    assert [fault.accepted_by for fault in error.faults] == [None]


async def test_no_other_version_is_named_for_a_fault_of_the_options(
    deployment: Deployment,
) -> None:
    error = await refused(deployment, {"inputs": {"x": 5}, "options": {"explain": "much"}})
    assert isinstance(error, InvalidInput)
    assert [fault.accepted_by for fault in error.faults] == [None]


@pytest.mark.parametrize(("asked", "limit"), [(None, 0.5), (100, 0.1), (100_000, 0.5)])
async def test_the_deadline_is_the_clients_up_to_the_contracts(
    deployment: Deployment, asked: int | None, limit: float
) -> None:
    await deployment.predict({"inputs": {"x": 5}}, timeout_ms=asked)
    given = deployment.backend.calls[0].timeout_s
    assert limit - 0.09 < given <= limit


async def test_a_request_that_arrived_too_long_ago_is_not_worked_on(
    deployment: Deployment,
) -> None:
    late = PredictCall({"inputs": {"x": 5}}, time.perf_counter() - 10, deployment.caller)
    with pytest.raises(TidegateError) as caught:
        await deployment.pipeline.predict(late)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert deployment.backend.calls == []


async def test_a_version_that_is_not_loaded_is_unavailable(deployment: Deployment) -> None:
    deployment.backend.reachable = False
    await deployment.look()
    assert (await refused(deployment, {"inputs": {"x": 5}})).code == "MODEL_UNAVAILABLE"


async def test_it_can_serve_while_the_default_version_can(deployment: Deployment) -> None:
    assert deployment.pipeline.can_serve()
    del deployment.backend.models[Backing("m", "1")]
    await deployment.look()
    assert deployment.pipeline.can_serve()
    del deployment.backend.models[Backing("m", "2")]
    await deployment.look()
    assert not deployment.pipeline.can_serve()


async def test_an_invalid_input_is_told_even_if_the_model_is_away(deployment: Deployment) -> None:
    deployment.backend.reachable = False
    await deployment.look()
    assert (await refused(deployment, {"inputs": {}})).code == "INVALID_INPUT"


async def test_a_deployment_without_models_cannot_serve(gate: Any) -> None:
    pool = BackendPool([MemoryBackend({})], interval_s=60, timeout_s=1)
    lanes = Lanes({}, pool, slots=1, max_waiting=1, timeout_s=1, report=lambda *_: None)
    assert not Pipeline(Offer({}, None), lanes, gate, observer()).can_serve()


GOOD = {"inputs": {"x": 5}}


async def test_an_answer_costs_the_units_of_its_contract_and_its_part_of_the_call(
    deployment: Deployment,
) -> None:
    permits: list[Permit] = []
    prediction = await deployment.predict(GOOD, admitted=permits.append)
    assert len(permits) == 1
    ((principal, price),) = deployment.gate.asked
    assert principal is deployment.caller
    assert (price.model, price.version, price.units, price.cost) == ("house", "v2.0.0", 2, 1)
    assert price.ttl_ms > 500, "the permit lapses before its request"
    ((paid, compute_us),) = deployment.gate.confirmed
    assert paid is price
    assert compute_us <= prediction.inference_s * 1e6
    assert deployment.gate.refunded == []


async def test_a_failure_costs_nothing(deployment: Deployment) -> None:
    def crash(request: InferenceRequest) -> dict[str, Tensor]:
        raise TidegateError("It crashed", code="MODEL_FAILED")

    deployment.backend.models = dict.fromkeys(deployment.backend.models, crash)
    assert (await refused(deployment, GOOD)).code == "MODEL_FAILED"
    assert [price.units for price in deployment.gate.refunded] == [2]
    assert deployment.gate.confirmed == []


async def test_an_answer_that_breaks_the_contract_costs_nothing(deployment: Deployment) -> None:
    def nonsense(request: InferenceRequest) -> dict[str, Tensor]:
        whole = request.inputs[0]
        return {"X": structs.replace(whole, data=whole.data[:-4] + b"\x00\x00\xc0\x7f")}

    deployment.backend.models = dict.fromkeys(deployment.backend.models, nonsense)
    assert (await refused(deployment, GOOD)).code == "MODEL_FAILED"
    assert (len(deployment.gate.refunded), deployment.gate.confirmed) == (1, [])


async def test_a_request_whose_client_goes_away_costs_nothing(deployment: Deployment) -> None:
    admitted = asyncio.Event()
    deployment.backend.delay_s = 30.0
    call = deployment.predict(GOOD, admitted=lambda _: admitted.set())
    task = asyncio.create_task(call)
    await admitted.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (len(deployment.gate.refunded), deployment.gate.confirmed) == (1, [])


@pytest.mark.parametrize(
    "body",
    [{"inputs": {}}, {**GOOD, "options": {"explain": True}}, {**GOOD, "model_version": "v9"}],
)
async def test_what_is_refused_for_what_it_is_asks_for_no_admission(
    deployment: Deployment, body: dict[str, Any]
) -> None:
    await refused(deployment, body)
    assert deployment.gate.asked == []


async def test_a_refusal_of_the_gate_reaches_no_model(deployment: Deployment) -> None:
    deployment.gate.refusal = TidegateError("Too fast", code="RATE_LIMITED")
    assert (await refused(deployment, GOOD)).code == "RATE_LIMITED"
    assert deployment.backend.calls == []


def anonymous(deployment: Deployment) -> Principal:
    client = "a:203.0.113.7"
    return structs.replace(
        deployment.caller, kind="anonymous", subject=client, tenant="", client=client
    )


async def test_without_a_key_only_versions_for_anybody_answer(deployment: Deployment) -> None:
    nobody = anonymous(deployment)
    answer = await deployment.predict({**GOOD, "model_version": "v1"}, principal=nobody)
    assert answer.version == "v1.0.0"
    error = await refused(deployment, GOOD, principal=nobody)
    assert (error.code, error.status) == ("UNAUTHENTICATED", 401)
    assert error.headers == {"www-authenticate": 'Bearer realm="tidegate"'}
    assert len(deployment.backend.calls) == 1


@pytest.mark.parametrize("scopes", [("predict",), ("predict:house",), ("predict:ho*",),
                                    ("jobs", "predict:house")])  # fmt: skip
async def test_a_scope_that_covers_the_model_lets_it_be_called(
    deployment: Deployment, scopes: tuple[str, ...]
) -> None:
    able = structs.replace(deployment.caller, scopes=scopes)
    assert (await deployment.predict(GOOD, principal=able)).model == "house"


@pytest.mark.parametrize("scopes", [(), ("predict:other",), ("jobs",), ("admin",)])
async def test_a_key_without_the_scope_is_forbidden_and_told_which_it_lacks(
    deployment: Deployment, scopes: tuple[str, ...]
) -> None:
    unable = structs.replace(deployment.caller, scopes=scopes)
    for body in (GOOD, {**GOOD, "model_version": "v1"}, {"inputs": {}}):
        error = await refused(deployment, body, principal=unable)
        assert (error.code, error.details) == ("FORBIDDEN", {"scope": "predict:house"})
    assert deployment.gate.asked == []


async def test_a_soft_block_warns_and_comes_after_all_others(deployment: Deployment) -> None:
    order: list[str] = []

    async def predict(name: str, version: str) -> list[str]:
        body = {"inputs": {"x": 5}, "model_version": version}
        found = await deployment.predict(body)
        order.append(name)
        return [warned.code for warned in found.answer.warnings]

    deployment.backend.delay_s = 0.05
    first = asyncio.create_task(predict("first", "v1"))
    await asyncio.sleep(0.01)
    deployment.gate.soft = True
    blocked = asyncio.create_task(predict("blocked", "v1"))
    await asyncio.sleep(0.01)
    deployment.gate.soft = False
    after = asyncio.create_task(predict("after", "v1"))
    warnings = await asyncio.gather(first, blocked, after)
    assert warnings == [[], ["SLOWED_DOWN"], []]
    assert order == ["first", "after", "blocked"]


async def test_an_unknown_model_names_only_those_that_the_caller_may_know(
    deployment: Deployment,
) -> None:
    body = {**GOOD, "model": "nose"}
    others = structs.replace(deployment.caller, scopes=("predict:wine",))
    for principal, named in (
        (deployment.caller, ["house"]),
        (anonymous(deployment), ["house"]),
        (others, []),
    ):
        error = await refused(deployment, body, principal=principal)
        assert (error.code, error.details["models"]) == ("MODEL_NOT_FOUND", named)


async def test_a_model_without_a_version_for_anybody_is_not_named_to_them(
    deployment: Deployment,
) -> None:
    nobody = anonymous(deployment)
    for ref, made in deployment.contracts.items():
        contract = structs.replace(made.contract, anonymous=False)
        deployment.contracts[ref] = type(made)(
            contract, made.ref, made.version, made.backing, None, made.inputs, made.codec,
            made.answers,
        )  # fmt: skip
    error = await refused(deployment, {**GOOD, "model": "nose"}, principal=nobody)
    assert error.details["models"] == []
