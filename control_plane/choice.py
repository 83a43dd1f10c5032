"""Which version answers a request, and whether it takes it: route, seat, rights, validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from control_plane.admission.limits.permit import Permit
from control_plane.admission.principal import Principal
from control_plane.contracts.compiler import CompiledContract
from control_plane.contracts.envelope import Envelope
from control_plane.contracts.inputs import MAX_FAULTS, InputSchema
from control_plane.errors import (
    Fault,
    Forbidden,
    InvalidInput,
    ModelUnavailable,
    NotAvailable,
    TidegateError,
    Unauthenticated,
)
from control_plane.inference.lane import Lane, LaneName
from control_plane.inference.lanes import Lanes
from control_plane.offer import Offer
from control_plane.rights import Rights
from control_plane.routing.experiment import MAIN_LANE, Experiment, Seat
from control_plane.routing.selection import Route
from control_plane.routing.trials import Trials
from control_plane.types import EncodedInput, Life, ModelRef

_NO_HEADERS: Final[Mapping[bytes, bytes]] = {}


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
        request_id: Minted by the server.
        headers: Of the request, by which a rollout may tell subjects apart; names in lower case.
    """

    body: object
    arrived: float
    principal: Principal
    model: str | None = None
    selector: str | None = None
    timeout_ms: int | None = None
    routed: Callable[[str, str], None] | None = None
    admitted: Callable[[Permit], None] | None = None
    request_id: str = ""
    headers: Mapping[bytes, bytes] = _NO_HEADERS


class Choice(Struct, frozen=True):
    """What answers a request.

    Attributes:
        route: What the request asked for.
        contract: Of the version that answers.
        inputs: Completed and valid under it.
        item: The same as tensors.
        lane: The queue to it.
        seat: Of the request's subject in a rollout.
    """

    route: Route
    contract: CompiledContract
    inputs: dict[str, Any]
    item: EncodedInput
    lane: Lane
    seat: Seat | None = None


class Pinned(Struct, frozen=True):
    """What answers a request later, whatever is promoted until then.

    Attributes:
        contract: Of the version that will answer.
        inputs: As that version takes them.
    """

    contract: CompiledContract
    inputs: Any


class Chooser:
    """Chooses the version that answers."""

    def __init__(self, offer: Offer, rights: Rights, lanes: Lanes, trials: Trials) -> None:
        """Choose among what is offered.

        Args:
            offer: Contracts and routes.
            rights: Who may use them.
            lanes: Queues to what is ready.
            trials: Told of candidates that could not answer.
        """
        self._offer = offer
        self._rights = rights
        self._lanes = lanes
        self._trials = trials

    def choose(self, call: PredictCall, envelope: Envelope) -> Choice:
        """The version that answers, with inputs that it takes.

        Raises:
            TidegateError: Any error of routing, rights and validation, or MODEL_UNAVAILABLE.
        """
        route = self._route(call, envelope)
        if route.experiment is None:
            return self._taken(call, envelope, route, route.ref, MAIN_LANE)
        return self._seated(call, envelope, route, route.experiment)

    def pin(
        self,
        call: PredictCall,
        envelope: Envelope,
        taken: Callable[[Envelope, CompiledContract], Any],
    ) -> Pinned:
        """The version that answers later, ready now or not; no trial of a rollout is counted.

        The subject's side of a rollout answers if it takes the request, else the stable version.

        Args:
            call: Who asks.
            envelope: For what.
            taken: The inputs as a version takes them; raises where it does not.

        Raises:
            TidegateError: Any error of routing and rights, and what ``taken`` raises.
        """
        route = self._route(call, envelope)
        if route.experiment is None:
            return self._pinned(call, envelope, route.ref, taken)
        rest = route.experiment.rest.ref
        rollout = route.experiment.rollout
        side = route.experiment.seat(_subject(rollout.sticky_by, call, envelope)).side.ref
        if side != rest:
            with suppress(InvalidInput, Unauthenticated, Forbidden):
                return self._pinned(call, envelope, side, taken)
        return self._pinned(call, envelope, rest, taken)

    def valid(
        self, envelope: Envelope, contract: CompiledContract, schema: InputSchema
    ) -> dict[str, Any]:
        """The completed inputs; every fault of inputs and options is told at once.

        Args:
            envelope: With the inputs.
            contract: Of the version.
            schema: Of its inputs, as they come in this request.

        Raises:
            InvalidInput: With the versions that accept the inputs, where there are any.
            NotAvailable: If an option is asked for that is not offered.
        """
        inputs: Any = envelope.inputs
        if envelope.faults or not schema.accepts(inputs):
            of_inputs = schema.faults(inputs)
            named = self._with_alternatives(of_inputs, contract.ref, inputs) if of_inputs else []
            raise InvalidInput([*envelope.faults, *named][:MAX_FAULTS])
        if envelope.explain:
            raise NotAvailable("Explanations are not offered", details={"option": "explain"})
        filled: dict[str, Any] = schema.filled(inputs)
        return filled

    def stand_in(self, call: PredictCall, envelope: Envelope, choice: Choice) -> Choice | None:
        """The stable version in place of a candidate that has gone; None if there is no candidate.

        Raises:
            TidegateError: As :meth:`choose` does.
        """
        experiment, seat = choice.route.experiment, choice.seat
        if experiment is None or seat is None or seat.side.ref == experiment.rest.ref:
            return None
        rest = experiment.rest
        taken = self._taken(call, envelope, choice.route, rest.ref, rest.lane)
        return structs.replace(taken, seat=structs.replace(seat, side=rest))

    def _seated(
        self, call: PredictCall, envelope: Envelope, route: Route, experiment: Experiment
    ) -> Choice:
        """The side of the request's subject; the stable version where the candidate cannot answer.

        A candidate that is not there has failed. One whose contract does not take the request has
        not: the contract in force is the stable version's.
        """
        seat = experiment.seat(_subject(experiment.rollout.sticky_by, call, envelope))
        side, rest = seat.side, experiment.rest
        if side.ref == rest.ref:
            taken = self._taken(call, envelope, route, side.ref, side.lane)
            return structs.replace(taken, seat=seat)
        is_away = False
        try:
            taken = self._taken(call, envelope, route, side.ref, side.lane)
            return structs.replace(taken, seat=seat)
        except ModelUnavailable:
            is_away = True
        except (InvalidInput, Unauthenticated, Forbidden):
            pass
        taken = self._taken(call, envelope, route, rest.ref, rest.lane)
        if is_away:  # and not everything else with it
            self._trials.failed(seat)
        return structs.replace(taken, seat=structs.replace(seat, side=rest))

    def _taken(
        self, call: PredictCall, envelope: Envelope, route: Route, ref: ModelRef, lane: LaneName
    ) -> Choice:
        contract = self._offer.contracts[ref]
        if call.routed is not None:
            call.routed(ref.name, contract.version)
        self._rights.check(call.principal, contract)
        inputs = self.valid(envelope, contract, contract.inputs)
        item = contract.encode(inputs)
        return Choice(route, contract, inputs, item, self._lanes.lane(contract.backing, lane))

    def _pinned(
        self,
        call: PredictCall,
        envelope: Envelope,
        ref: ModelRef,
        taken: Callable[[Envelope, CompiledContract], Any],
    ) -> Pinned:
        contract = self._offer.contracts[ref]
        if call.routed is not None:
            call.routed(ref.name, contract.version)
        self._rights.check(call.principal, contract)
        self._rights.check_jobs(call.principal, contract)
        return Pinned(contract, taken(envelope, contract))

    def _route(self, call: PredictCall, envelope: Envelope) -> Route:
        model = _same(call.model, envelope.model, "MODEL_CONFLICT", "model", "path")
        selector = _same(
            call.selector, envelope.selector, "VERSION_CONFLICT", "model version", "header"
        )
        try:
            return self._offer.router.resolve(model, selector)
        except TidegateError as error:
            raise self._rights.told_to(call.principal, error, model) from None

    def _with_alternatives(
        self, faults: Sequence[Fault], ref: ModelRef, inputs: object
    ) -> list[Fault]:
        """Name the versions of the same model that would take the inputs as they are."""
        model = self._offer.router.model(ref.name)
        able = [
            str(version)
            for version in model.versions
            if version != ref.version
            and model.lives[version] is not Life.RETIRED
            and (other := self._offer.contracts.get(ModelRef(ref.name, version))) is not None
            and other.inputs.accepts(inputs)
        ]
        return [structs.replace(fault, accepted_by=able) if able else fault for fault in faults]


def _subject(sticky_by: str, call: PredictCall, envelope: Envelope) -> str:
    """What a rollout tells apart: who has no such header or field goes by key, or by address."""
    kind, _, name = sticky_by.partition(":")
    if kind == "tenant":
        return call.principal.subject
    if kind == "header":
        value = call.headers.get(name.lower().encode())
        if value:
            return f"header:{value.decode('latin-1')}"
    if kind == "field" and isinstance(envelope.inputs, dict) and name in envelope.inputs:
        return f"field:{msgspec.json.encode(envelope.inputs[name]).decode()}"
    return call.principal.client


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
