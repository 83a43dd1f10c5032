"""The one file that knows the order of the stages of a prediction.

::

    envelope ─► route ─► options ─► validate ─► encode ─► infer (coalesced) ─► answer
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from msgspec import Struct, structs

from control_plane.contracts.answers import Answer
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import Envelope, read_envelope
from control_plane.contracts.inputs import MAX_FAULTS
from control_plane.errors import Fault, InvalidInput, NotAvailable, TidegateError
from control_plane.inference.lanes import Lanes
from control_plane.routing.selection import Router
from control_plane.types import Life, ModelRef, Route


class PredictCall(Struct, frozen=True):
    """A prediction as a door received it.

    Attributes:
        body: The decoded body.
        arrived: ``perf_counter()`` of arrival, seconds.
        model: Public name from the path.
        selector: Model version, prefix or alias from the header.
        timeout_ms: The client's own deadline.
        routed: Told of the model and the version as soon as they are known.
    """

    body: object
    arrived: float
    model: str | None = None
    selector: str | None = None
    timeout_ms: int | None = None
    routed: Callable[[str, str], None] | None = None


class Prediction(Struct, frozen=True):
    """An answer and how it came about.

    Attributes:
        model: Public name of the model.
        version: The version that answered.
        answer: The answer in both shapes.
        units: Its price in units of quota.
        admission_s: Seconds from arrival to the queue.
        queue_s: Seconds in the queue.
        inference_s: Seconds in the call to Triton.
        shared: Inputs that shared the call.
    """

    model: str
    version: str
    answer: Answer
    units: int
    admission_s: float
    queue_s: float
    inference_s: float
    shared: int


class Pipeline:
    """Takes a request through the stages."""

    def __init__(
        self, contracts: Mapping[ModelRef, CompiledContract], router: Router, lanes: Lanes
    ) -> None:
        """Compose the stages.

        Args:
            contracts: The compiled contract of every version.
            router: Finds the version that answers.
            lanes: Take inputs to Triton.
        """
        self.contracts = contracts
        self.router = router
        self.lanes = lanes
        self._loop = asyncio.get_running_loop()

    async def predict(self, call: PredictCall) -> Prediction:
        """Predict.

        Raises:
            TidegateError: Any error of the stages.
        """
        envelope = read_envelope(call.body)
        route = self._route(call, envelope)
        contract = self.contracts[route.ref]
        if call.routed is not None:
            call.routed(route.ref.name, contract.version)
        inputs = self._validate(envelope, contract)
        item = contract.encode(inputs)
        lane = self.lanes.lane(contract.backing)
        admission_s = perf_counter() - call.arrived
        left_s = self._timeout_s(call, contract) - admission_s
        outcome = await lane.infer(item, self._loop.time() + left_s)
        return Prediction(
            model=route.ref.name,
            version=contract.version,
            answer=contract.answer(outcome.row, inputs),
            units=contract.contract.units,
            admission_s=admission_s,
            queue_s=outcome.queue_s,
            inference_s=outcome.inference_s,
            shared=outcome.shared,
        )

    def is_ready(self, ref: ModelRef) -> bool:
        """True if the version can answer now."""
        return self.lanes.is_ready(self.contracts[ref].backing)

    def can_serve(self) -> bool:
        """True if the default version of the default model, or of every model, can answer."""
        catalog = self.router.catalog
        wanted = [catalog.default_model] if catalog.default_model else list(catalog.models)
        models = [catalog.models.get(name) for name in wanted]
        return bool(models) and all(
            model is not None and self.is_ready(ModelRef(model.name, model.default))
            for model in models
        )

    def _route(self, call: PredictCall, envelope: Envelope) -> Route:
        model = _same(call.model, envelope.model, "MODEL_CONFLICT", "model", "path")
        selector = _same(
            call.selector, envelope.selector, "VERSION_CONFLICT", "model version", "header"
        )
        return self.router.resolve(model, selector)

    def _validate(self, envelope: Envelope, contract: CompiledContract) -> dict[str, Any]:
        """The completed inputs; every fault of inputs and options is told at once.

        Raises:
            InvalidInput: With the versions that accept the inputs, where there are any.
            NotAvailable: If an option is asked for that is not offered.
        """
        inputs: Any = envelope.inputs
        if envelope.faults or not contract.inputs.accepts(inputs):
            of_inputs = contract.inputs.faults(inputs)
            named = self._with_alternatives(of_inputs, contract.ref, inputs) if of_inputs else []
            raise InvalidInput([*envelope.faults, *named][:MAX_FAULTS])
        if envelope.explain:
            raise NotAvailable("Explanations are not offered", details={"option": "explain"})
        if envelope.background:
            raise NotAvailable("Jobs are not offered", details={"option": "async"})
        filled: dict[str, Any] = contract.inputs.filled(inputs)
        return filled

    def _with_alternatives(
        self, faults: Sequence[Fault], ref: ModelRef, inputs: object
    ) -> list[Fault]:
        """Name the versions of the same model that would take the inputs as they are."""
        model = self.router.model(ref.name)
        able = [
            str(version)
            for version in model.versions
            if version != ref.version
            and model.lives[version] is not Life.RETIRED
            and (other := self.contracts.get(ModelRef(ref.name, version))) is not None
            and other.inputs.accepts(inputs)
        ]
        return [structs.replace(fault, accepted_by=able) if able else fault for fault in faults]

    def _timeout_s(self, call: PredictCall, contract: CompiledContract) -> float:
        limit = contract.contract.deadline_ms
        return min(call.timeout_ms or limit, limit) / 1000


def _same(outer: str | None, inner: str | None, code: str, what: str, place: str) -> str | None:
    """What two places agree on.

    Raises:
        TidegateError: If they do not.
    """
    if outer is not None and inner is not None and outer != inner:
        raise TidegateError(
            f"The {place} and the body name different {what}s",
            code=code,
            details={place: outer[:64], "body": inner[:64]},
        )
    return outer if outer is not None else inner
