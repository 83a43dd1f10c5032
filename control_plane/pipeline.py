"""The one file that knows the order of the stages of a prediction.

::

    envelope ─► route ─► may ─► validate ─► encode ─► admit ─► infer (coalesced) ─► answer ─► settle
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

from msgspec import Struct, structs

from control_plane.admission.limits.gate import Gate
from control_plane.admission.limits.permit import Permit, Price
from control_plane.admission.principal import Principal
from control_plane.contracts.answers import Answer, Warned
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import Envelope, read_envelope
from control_plane.contracts.inputs import MAX_FAULTS
from control_plane.errors import (
    Fault,
    Forbidden,
    InvalidInput,
    NotAvailable,
    TidegateError,
    Unauthenticated,
)
from control_plane.inference.lanes import Lanes
from control_plane.routing.selection import Router
from control_plane.types import Life, ModelRef, Route, Version

SLOWED_DOWN: Final = Warned(
    "SLOWED_DOWN", "Unusual traffic: rate and priority are reduced; a block may follow"
)
_ACTIONS: Final = ("predict", "jobs", "explain", "uploads")


class PredictCall(Struct, frozen=True):
    """A prediction as a door received it.

    Attributes:
        body: The decoded body.
        arrived: ``perf_counter()`` of arrival, seconds.
        principal: Who calls.
        model: Public name from the path.
        selector: Model version, prefix or alias from the header.
        timeout_ms: The client's own deadline.
        routed: Told of the model and the version as soon as they are known.
        admitted: Told of the permit as soon as there is one.
    """

    body: object
    arrived: float
    principal: Principal
    model: str | None = None
    selector: str | None = None
    timeout_ms: int | None = None
    routed: Callable[[str, str], None] | None = None
    admitted: Callable[[Permit], None] | None = None


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
        self,
        contracts: Mapping[ModelRef, CompiledContract],
        router: Router,
        lanes: Lanes,
        gate: Gate,
    ) -> None:
        """Compose the stages.

        Args:
            contracts: The compiled contract of every version.
            router: Finds the version that answers.
            lanes: Take inputs to Triton.
            gate: Lets requests in.
        """
        self.contracts = contracts
        self.router = router
        self.lanes = lanes
        self.gate = gate
        self._prices = {ref: _price(contract) for ref, contract in contracts.items()}
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
        self._check_rights(call.principal, contract)
        inputs = self._validate(envelope, contract)
        item = contract.encode(inputs)
        lane = self.lanes.lane(contract.backing)
        left_s = self._timeout_s(call, contract) - (perf_counter() - call.arrived)
        deadline = self._loop.time() + left_s
        price = self._prices[route.ref]
        permit = self.gate.take(call.principal, price)
        if permit is None:
            permit = await self.gate.admit(call.principal, price, deadline)
        if call.admitted is not None:
            call.admitted(permit)
        admission_s = perf_counter() - call.arrived
        try:
            outcome = await lane.infer(item, deadline, later=permit.soft)
            answer = contract.answer(outcome.row, inputs)
        except BaseException:
            permit.refund()
            raise
        permit.confirm(outcome.inference_s / outcome.shared)
        return Prediction(
            model=route.ref.name,
            version=contract.version,
            answer=_slowed_down(answer) if permit.soft else answer,
            units=permit.units,
            admission_s=admission_s,
            queue_s=outcome.queue_s,
            inference_s=outcome.inference_s,
            shared=outcome.shared,
        )

    def is_ready(self, ref: ModelRef) -> bool:
        """True if the version can answer now."""
        return self.lanes.is_ready(self.contracts[ref].backing)

    def is_visible(self, principal: Principal, ref: ModelRef) -> bool:
        """True if a caller may know of a version: its key covers the model, or it needs none."""
        if principal.kind == "anonymous":
            return self.contracts[ref].contract.anonymous
        return any(principal.may(action, ref.name) for action in _ACTIONS)

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
        try:
            return self.router.resolve(model, selector)
        except TidegateError as error:
            raise self.told_to(call.principal, error, model) from None

    def told_to(
        self, principal: Principal, error: TidegateError, model: str | None = None
    ) -> TidegateError:
        """An error of routing that names nothing which the caller may not know of.

        Args:
            principal: Who is told.
            error: What the router raised.
            model: Of which model, if it is about versions.
        """
        models, versions = error.details.get("models"), error.details.get("versions")
        if models is not None:
            error.details["models"] = [
                name for name in models if self.visible_versions(principal, name)
            ]
        if versions is not None:
            name = self.router.model(model).name
            shown = {str(version) for version in self.visible_versions(principal, name)}
            error.details["versions"] = [version for version in versions if version in shown]
        return error

    def visible_versions(self, principal: Principal, model: str) -> list[Version]:
        """The versions of a model that a caller may know of, ascending."""
        return [
            version
            for version in self.router.model(model).versions
            if self.is_visible(principal, ModelRef(model, version))
        ]

    def _check_rights(self, principal: Principal, contract: CompiledContract) -> None:
        """Raise unless the caller may predict with a version.

        Raises:
            Unauthenticated: If it needs a key and there is none.
            Forbidden: If the key has no scope for it.
        """
        if principal.kind == "anonymous":
            if not contract.contract.anonymous:
                raise Unauthenticated("This model needs an API key or an access token")
        elif not principal.may("predict", contract.ref.name):
            scope = f"predict:{contract.ref.name}"
            message = f"The credentials lack the scope {scope}"
            raise Forbidden(message, details={"scope": scope})

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


def _price(contract: CompiledContract) -> Price:
    ref, document = contract.ref, contract.contract
    return Price(
        ref.name,
        str(ref.version),
        units=document.units,
        deadline_ms=document.deadline_ms,
        ahead=True,
    )


def _slowed_down(answer: Answer) -> Answer:
    return structs.replace(answer, warnings=(*answer.warnings, SLOWED_DOWN))


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
