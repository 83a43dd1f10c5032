"""The one file that knows the order of the stages of a prediction.

::

    envelope ─► route ─► may ─► validate ─► encode ─► admit ─► infer (coalesced) ─► answer ─► settle
                  └ choice.py: seat in a rollout ┘                              observer.py ◄┘
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

from msgspec import Struct, structs

from control_plane.admission.limits.gate import Gate
from control_plane.choice import Choice, Chooser, PredictCall
from control_plane.contracts.answers import Answer, Warned
from control_plane.contracts.envelope import Envelope, read_envelope
from control_plane.errors import ModelUnavailable
from control_plane.inference.lane import Outcome
from control_plane.inference.lanes import Lanes
from control_plane.observer import Observer
from control_plane.offer import Offer
from control_plane.rights import Rights
from control_plane.routing.catalog import Notice
from control_plane.types import ModelRef

SLOWED_DOWN: Final = Warned(
    "SLOWED_DOWN", "Unusual traffic: rate and priority are reduced; a block may follow"
)


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
        rollout: Id of the rollout that the request took part in, or None.
        notice: What is told of a version that is deprecated, or None.
    """

    model: str
    version: str
    answer: Answer
    units: int
    admission_s: float
    queue_s: float
    inference_s: float
    shared: int
    rollout: str | None = None
    notice: Notice | None = None


class Pipeline:
    """Takes a request through the stages.

    Attributes:
        offer: What there is.
        rights: Who may use it.
        lanes: Take inputs to Triton.
        gate: Lets requests in.
        chooser: Chooses the version that answers.
    """

    def __init__(self, offer: Offer, lanes: Lanes, gate: Gate, observer: Observer) -> None:
        """Compose the stages.

        Args:
            offer: What there is.
            lanes: Take inputs to Triton.
            gate: Lets requests in.
            observer: Told of every prediction.
        """
        self.offer = offer
        self.rights = Rights(offer)
        self.lanes = lanes
        self.gate = gate
        self._observer = observer
        self.chooser = Chooser(offer, self.rights, lanes, observer.trials)
        self._loop = asyncio.get_running_loop()

    async def predict(self, call: PredictCall) -> Prediction:
        """Predict.

        Raises:
            TidegateError: Any error of the stages.
        """
        envelope = read_envelope(call.body)
        choice = self.chooser.choose(call, envelope)
        left_s = self._timeout_s(call, choice) - (perf_counter() - call.arrived)
        deadline = self._loop.time() + left_s
        price = self.offer.prices[choice.contract.ref]
        permit = self.gate.take(call.principal, price)
        if permit is None:
            permit = await self.gate.admit(call.principal, price, deadline)
        if call.admitted is not None:
            call.admitted(permit)
        admission_s = perf_counter() - call.arrived
        try:
            choice, outcome = await self._infer(call, envelope, choice, deadline, later=permit.soft)
            answer = choice.contract.answer(outcome.row, choice.inputs)
        except BaseException as error:
            permit.refund()
            self._observer.failed(call, choice, error)
            raise
        permit.confirm(outcome.inference_s / outcome.shared)
        self._observer.answered(call, choice, answer, outcome)
        return Prediction(
            model=choice.contract.ref.name,
            version=choice.contract.version,
            answer=_slowed_down(answer) if permit.soft else answer,
            units=permit.units,
            admission_s=admission_s,
            queue_s=outcome.queue_s,
            inference_s=outcome.inference_s,
            shared=outcome.shared,
            rollout=None if choice.seat is None else choice.seat.side.rollout,
            notice=choice.route.notice,
        )

    async def _infer(
        self, call: PredictCall, envelope: Envelope, choice: Choice, deadline: float, *, later: bool
    ) -> tuple[Choice, Outcome]:
        """What the chosen version made of it, or the stable one if a candidate has just gone."""
        try:
            return choice, await choice.lane.infer(choice.item, deadline, later=later)
        except ModelUnavailable as error:
            stand_in = self.chooser.stand_in(call, envelope, choice)
            if stand_in is None:
                raise
            outcome = await stand_in.lane.infer(stand_in.item, deadline, later=later)
            self._observer.failed(call, choice, error)
            return stand_in, outcome

    def is_ready(self, ref: ModelRef) -> bool:
        """True if the version can answer now."""
        return self.lanes.is_ready(self.offer.contracts[ref].backing)

    def can_serve(self) -> bool:
        """True if the default version of the default model, or of every model, can answer."""
        catalog = self.offer.router.catalog
        wanted = [catalog.default_model] if catalog.default_model else list(catalog.models)
        models = [catalog.models.get(name) for name in wanted]
        return bool(models) and all(
            model is not None
            and model.default is not None
            and self.is_ready(ModelRef(model.name, model.default))
            for model in models
        )

    def _timeout_s(self, call: PredictCall, choice: Choice) -> float:
        limit = choice.contract.contract.deadline_ms
        return min(call.timeout_ms or limit, limit) / 1000


def _slowed_down(answer: Answer) -> Answer:
    return structs.replace(answer, warnings=(*answer.warnings, SLOWED_DOWN))
