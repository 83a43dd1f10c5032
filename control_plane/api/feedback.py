"""The truth about an earlier prediction, from the client that got it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, post
from litestar.datastructures import State
from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.api.visit import member_of
from control_plane.errors import Forbidden, InvalidInput
from control_plane.patterns import PLAIN, exactly
from control_plane.routing.feedback.service import Truth
from control_plane.services import Services
from control_plane.web import body

MAX_BODY_BYTES: Final = 4096


class FeedbackBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The truth about a prediction: exactly one of ``label`` and ``score``."""

    request_id: Annotated[
        str,
        Meta(
            pattern=exactly("req_[0-9a-f]{32}"),
            description="`request_id` of the prediction's answer, also in `X-Request-ID`",
        ),
    ]
    label: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256, pattern=PLAIN)] | UnsetType,
        Meta(description="The label that would have been right, one of the model's"),
    ] = UNSET
    score: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | UnsetType,
        Meta(description="How right the prediction was, 0 to 1, for any kind of model"),
    ] = UNSET


class FeedbackView(Struct, frozen=True, kw_only=True):
    """Feedback that was taken."""

    request_id: str
    model: str
    model_version: Annotated[str, Meta(description="The version that predicted")]
    prediction: Annotated[str | None, Meta(description="The label that was predicted, or null")]
    correct: Annotated[
        bool | UnsetType, Meta(description="Whether the prediction was the label given")
    ] = UNSET
    score: Annotated[float | UnsetType, Meta(description="The score given")] = UNSET
    replaced: Annotated[
        bool, Meta(description="True if it takes the place of earlier feedback on the prediction")
    ]


@post("/api/v1/feedback", status_code=200, request_max_body_size=MAX_BODY_BYTES)
async def give_feedback(request: Request[Any, Any, Any], state: State) -> FeedbackView:
    """Attach the truth to an earlier prediction of the caller's tenant."""
    principal = member_of(request, "Predictions that are kept")
    given = body.shaped(await body.read_json(request), FeedbackBody)
    truth = _truth(given)
    services: Services = state.services
    kept = await services.feedback.find(principal.tenant, given.request_id)
    if not principal.may("predict", kept.model):
        scope = f"predict:{kept.model}"
        raise Forbidden(f"The credentials lack the scope {scope}", details={"scope": scope})
    taken = await services.feedback.give(principal.tenant, given.request_id, kept, truth)
    return FeedbackView(
        request_id=given.request_id,
        model=kept.model,
        model_version=kept.version,
        prediction=kept.label,
        correct=UNSET if truth.label is None else taken.score == 1,
        score=UNSET if truth.score is None else taken.score,
        replaced=taken.replaced,
    )


def _truth(given: FeedbackBody) -> Truth:
    if (given.label is UNSET) == (given.score is UNSET):
        raise InvalidInput([body.fault([], "needs either label or score, and not both")])
    return Truth(
        label=None if given.label is UNSET else given.label,
        score=None if given.score is UNSET else given.score,
    )
