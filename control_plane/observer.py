"""Tells those who learn from predictions: the counts of rollouts, feedback, shadows.

All of it is a few additions once the answer is known; the rest happens beside the requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from control_plane.choice import Choice, PredictCall
from control_plane.contracts.answers import Answer
from control_plane.errors import DeadlineExceeded, ModelFailed, ModelUnavailable
from control_plane.inference.lane import Outcome
from control_plane.inference.lanes import Lanes
from control_plane.offer import Offer
from control_plane.routing.experiment import Experiment, Seat
from control_plane.routing.feedback.kept import Kept, Placed
from control_plane.routing.feedback.sampler import Sampler
from control_plane.routing.shadow.jobs import Predicted, ShadowAnswer, ShadowJob, takes
from control_plane.routing.shadow.runner import ShadowRunner
from control_plane.routing.trials import Trials, side_of

_BLAMED: Final = (ModelFailed, DeadlineExceeded, ModelUnavailable)
"""What a version can cause: its errors and its timeouts, never what was shed."""


class Observer(Struct, frozen=True):
    """Who is told.

    Attributes:
        trials: What the sides of rollouts do.
        sampler: Which predictions are kept for feedback.
        shadows: Show requests to further versions.
    """

    trials: Trials
    sampler: Sampler
    shadows: ShadowRunner

    def answered(self, call: PredictCall, choice: Choice, answer: Answer, outcome: Outcome) -> None:
        """Note a prediction that was made."""
        tenant = call.principal.tenant
        if choice.seat is None:
            if self.sampler.has_room(tenant):
                self._keep(call, choice, answer)
            return
        latency_s = outcome.queue_s + outcome.inference_s
        self.trials.answered(choice.seat, latency_s, answer.label)
        if self.sampler.has_room(tenant):
            self._keep(call, choice, answer)
        experiment = choice.route.experiment
        if experiment is not None and choice.seat.side.ref == experiment.rest.ref:
            self._show(call, choice, answer, latency_s, experiment, choice.seat)

    def failed(self, call: PredictCall, choice: Choice, error: BaseException) -> None:
        """Note a prediction that was not made, if the version can be blamed for it.

        Not for a deadline that the client itself has cut short.
        """
        if choice.seat is None or not isinstance(error, _BLAMED):
            return
        limit_ms = choice.contract.contract.deadline_ms
        is_short = call.timeout_ms is not None and call.timeout_ms < limit_ms
        if not (is_short and isinstance(error, DeadlineExceeded)):
            self.trials.failed(choice.seat)

    def dropped(self) -> Mapping[str, int]:
        """Requests that shadows did not see since the start, by reason."""
        return self.shadows.dropped

    def _keep(self, call: PredictCall, choice: Choice, answer: Answer) -> None:
        seat, placed = choice.seat, None
        if seat is not None and seat.side.arm:
            side = seat.side
            placed = Placed(side.rollout, side.stage, side.arm, side_of(seat), seat.group)
        kept = Kept(choice.contract.ref.name, choice.contract.version, answer.label, placed)
        self.sampler.offer(call.principal.tenant, call.request_id, kept)

    def _show(
        self,
        call: PredictCall,
        choice: Choice,
        answer: Answer,
        latency_s: float,
        experiment: Experiment,
        seat: Seat,
    ) -> None:
        for shadowed in experiment.shadows:
            if takes(call.request_id, shadowed.share) and self.shadows.has_room(
                seat.side.rollout, shadowed.ref
            ):
                job = ShadowJob(
                    rollout=seat.side.rollout,
                    stage=seat.side.stage,
                    ref=shadowed.ref,
                    group=seat.group,
                    request_id=call.request_id,
                    arrived=time.time(),
                    inputs=choice.inputs,
                    answered=_predicted(answer),
                    latency_s=latency_s,
                    keep_inputs=experiment.rollout.keep_inputs,
                    is_judged=shadowed.is_judged,
                )
                self.shadows.offer(job)


class ShadowRun:
    """Has a version answer a request in shadow: last in line, unadmitted, unpaid."""

    def __init__(self, offer: Offer, lanes: Lanes) -> None:
        """Run on what is offered.

        Args:
            offer: The contracts.
            lanes: Queues to what is ready.
        """
        self._offer = offer
        self._lanes = lanes

    async def __call__(self, job: ShadowJob) -> ShadowAnswer:
        """What the version says.

        Args:
            job: The request.

        Raises:
            TidegateError: Any error of validation and of inference.
        """
        contract = self._offer.contracts.get(job.ref)
        if contract is None:
            raise ModelUnavailable("The version is not here")
        inputs = contract.inputs.complete(dict(job.inputs))
        item = contract.encode(inputs)
        lane = self._lanes.lane(contract.backing, "shadow")
        limit_s = contract.contract.deadline_ms / 1000
        deadline = asyncio.get_running_loop().time() + limit_s
        outcome = await lane.infer(item, deadline)
        answer = contract.answer(outcome.row, inputs)
        return ShadowAnswer(
            predicted=_predicted(answer), latency_s=outcome.queue_s + outcome.inference_s
        )


def _predicted(answer: Answer) -> Predicted:
    """An answer in the form that those of two versions are compared in."""
    data: dict[str, Any] = answer.data
    if "probabilities" in data:
        return Predicted(label=answer.label, probabilities=data["probabilities"])
    if "prediction" in data:
        return Predicted(label=answer.label, number=float(data["prediction"]))
    if "embedding" in data:
        return Predicted(vector=data["embedding"])
    return Predicted(vector=_flat(data.get("outputs", {}).values()))


def _flat(nested: Any) -> list[float]:
    """All numbers of nested lists, in order."""
    found: list[float] = []
    for value in nested:
        if isinstance(value, list):
            found += _flat(value)
        elif isinstance(value, int | float):
            found.append(float(value))
    return found
