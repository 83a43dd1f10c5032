"""What the webhook resources take and show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from control_plane.egress.address import MAX_LENGTH
from control_plane.patterns import PLAIN, exactly
from control_plane.webhooks.endpoints import Draft
from control_plane.webhooks.shapes import Attempt, Delivery, Endpoint, Event, Secrets, Status

MAX_OVERLAP_S: Final = 604_800

EndpointId = Annotated[str, Meta(pattern=exactly("we_[0-9a-f]{24}"))]
Moment = Annotated[
    str, Meta(description="RFC 3339, UTC", extra_json_schema={"format": "date-time"})
]
Events = (
    Annotated[
        tuple[Event, ...],
        Meta(min_length=1, max_length=16, description="What it is told of; null for everything"),
    ]
    | None
)


class EndpointBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver of webhooks."""

    url: Annotated[
        str,
        Meta(
            max_length=MAX_LENGTH,
            pattern=exactly("[!-~]+"),
            description="Public https address, in ASCII",
        ),
    ]
    events: Events = None
    description: Annotated[str, Meta(max_length=200, pattern=PLAIN, description="For people")] = ""
    enabled: Annotated[bool, Meta(description="False if nothing is to be sent to it")] = True

    def draft(self) -> Draft:
        """What it says, in the order in which events are listed everywhere."""
        events = tuple(event for event in Event if event in (self.events or ()))
        return Draft(
            url=self.url, events=events, description=self.description, enabled=self.enabled
        )


class RotateSecretBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a secret is rotated."""

    overlap_s: Annotated[
        int,
        Meta(ge=0, le=MAX_OVERLAP_S, description="Seconds that the old secret signs as well"),
    ] = 86_400


class EndpointView(Struct, frozen=True, kw_only=True):
    """A receiver of webhooks, without its secret."""

    id: EndpointId
    url: str
    events: Events
    description: str
    enabled: bool
    gone: Annotated[bool, Meta(description="True if it was disabled as it answered 410")]
    revision: Annotated[int, Meta(ge=1, description="Grows with each change")]
    created_at: Moment
    updated_at: Moment


class SecretView(Struct, frozen=True, kw_only=True):
    """A secret that signs."""

    secret: Annotated[
        str, Meta(pattern=exactly("whsec_[A-Za-z0-9+/]{32,88}={0,2}"), description="`whsec_…`")
    ]
    previous_until: Annotated[
        Moment | None, Meta(description="Until when the one before signs as well")
    ]


class EndpointMade(Struct, frozen=True, kw_only=True):
    """A receiver that was made, with its secret."""

    endpoint: EndpointView
    secret: SecretView


class EndpointList(Struct, frozen=True):
    """A page of receivers, by id."""

    items: list[EndpointView]
    next_cursor: Annotated[str | None, Meta(description="Parameter `cursor` of the next page")]


class AttemptView(Struct, frozen=True, kw_only=True):
    """One call to a receiver."""

    at: Moment
    duration_ms: Annotated[int, Meta(ge=0)]
    status: Annotated[int | None, Meta(description="HTTP status; null without an answer")]
    error: Annotated[
        str | None, Meta(description="Why it did not succeed, one word; null if it did")
    ]


class DeliveryView(Struct, frozen=True, kw_only=True):
    """What was sent, or is to be sent, to one receiver about one job."""

    id: Annotated[str, Meta(description="The header `webhook-id` of every attempt")]
    job_id: str
    endpoint_id: Annotated[
        EndpointId | None, Meta(description="null for the address that the job itself names")
    ]
    event: Event
    status: Status
    attempts: Annotated[int, Meta(ge=0, description="Calls that were begun")]
    created_at: Moment
    next_attempt_at: Annotated[Moment | None, Meta(description="Of one that waits")]
    ended_at: Moment | None
    log: Annotated[
        list[AttemptView] | UnsetType,
        Meta(description="The latest 32 attempts, the oldest first; of a single delivery only"),
    ] = UNSET


class DeliveryList(Struct, frozen=True):
    """A page of deliveries, those of the latest jobs first."""

    items: list[DeliveryView]
    next_cursor: Annotated[str | None, Meta(description="Parameter `cursor` of the next page")]


def endpoint_view(endpoint: Endpoint, draft: Draft) -> EndpointView:
    """An endpoint as its tenant sees it."""
    return EndpointView(
        id=endpoint.id,
        url=draft.url,
        events=endpoint.events or None,
        description=endpoint.description,
        enabled=endpoint.enabled,
        gone=endpoint.gone,
        revision=endpoint.revision,
        created_at=_moment(endpoint.created_at * 1000),
        updated_at=_moment(endpoint.updated_at * 1000),
    )


def secret_view(record: Secrets, opened: list[str]) -> SecretView:
    """A secret as its tenant sees it."""
    is_overlap = len(opened) > 1
    until = _moment(record.secret_until * 1000) if is_overlap else None
    return SecretView(secret=opened[0], previous_until=until)


def delivery_view(delivery: Delivery, *, with_log: bool) -> DeliveryView:
    """A delivery as its tenant sees it."""
    return DeliveryView(
        id=delivery.id,
        job_id=delivery.job,
        endpoint_id=delivery.endpoint,
        event=delivery.event,
        status=delivery.status,
        attempts=delivery.attempts,
        created_at=_moment(delivery.created_ms),
        next_attempt_at=_moment(delivery.due_ms) if delivery.due_ms else None,
        ended_at=_moment(delivery.ended_ms) if delivery.ended_ms else None,
        log=[_attempt_view(attempt) for attempt in delivery.log] if with_log else UNSET,
    )


def _attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        at=_moment(attempt.at),
        duration_ms=attempt.ms,
        status=attempt.status or None,
        error=attempt.error or None,
    )


def _moment(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
