"""What webhooks are made of: endpoints, secrets, deliveries and attempts."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from control_plane.records.record import Record

ENDPOINT_ID: Final = re.compile(r"we_[0-9a-f]{24}")
DELIVERY_ID: Final = re.compile(r"msg_[0-9a-f]{32}_[0-9a-f]{12}")
"""Ids sort by the submission of the job, so that a list of ids is a list by time."""


class Event(StrEnum):
    """What is told: how a job ended."""

    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    EXPIRED = "job.expired"


class Status(StrEnum):
    """Where a delivery stands; the last two are ends, until it is redelivered by hand."""

    WAITING = "waiting"
    SENDING = "sending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Secrets(Record, frozen=True, kw_only=True):
    """What signs: one secret, and another while a rotation overlaps.

    Attributes:
        secrets: Encrypted, the latest first.
        secret_until: Epoch second at which the second stops signing; 0 without one.
    """

    secrets: tuple[str, ...] = ()
    secret_until: int = 0


class TenantSecret(Secrets, frozen=True, kw_only=True):
    """What signs for the addresses that jobs name themselves.

    Attributes:
        tenant: Whose it is.
    """

    tenant: str


class Endpoint(Secrets, frozen=True, kw_only=True):
    """A receiver of a tenant's.

    Attributes:
        id: See :data:`ENDPOINT_ID`.
        tenant: Whose it is.
        url: Encrypted, as addresses may hold secrets.
        host: Of the address, for the audit log.
        events: What it is told of; empty for everything.
        description: For people.
        enabled: False if nothing is sent to it.
        gone: True if it was disabled because it answered 410.
    """

    id: str
    tenant: str
    url: str
    host: str
    events: tuple[Event, ...] = ()
    description: str = ""
    enabled: bool = True
    gone: bool = False

    def wants(self, event: Event) -> bool:
        """True if it is to be told of an event."""
        return self.enabled and (not self.events or event in self.events)


class Told(Struct, frozen=True):
    """What receivers are told of a job that has ended.

    Attributes:
        data: The job as ``GET /api/v1/jobs/{id}`` shows it, without its result.
        ended_ms: When it ended, epoch milliseconds.
        webhook_url: The address that the job names itself; None without one.
    """

    data: dict[str, Any]
    ended_ms: int
    webhook_url: str | None = None


class Message(Struct, frozen=True):
    """A delivery that is to be made.

    Attributes:
        id: A function of job and receiver, and the ``webhook-id``.
        tenant: Whose it is.
        job: Which job it tells of.
        receiver: Id of the endpoint; of a job's own address what its origin is told apart by.
        event: What it tells.
        body: What is sent.
        url: Of a job's own address; empty for an endpoint.
    """

    id: str
    tenant: str
    job: str
    receiver: str
    event: Event
    body: bytes
    url: str = ""


class Held(Struct, frozen=True, kw_only=True):
    """A delivery in a dispatcher's hands.

    Attributes:
        id: The ``webhook-id``.
        fence: Of this hold: what is said with an older one is refused.
        number: Of the attempt in this schedule, from 1.
        tenant: Whose it is.
        receiver: See :class:`Message`.
        body: What is sent, encrypted.
        url: Of a job's own address, encrypted; empty for an endpoint.
    """

    id: str
    fence: int
    number: int
    tenant: str
    receiver: str
    body: str
    url: str


class Attempt(Struct, frozen=True):
    """What came of one call.

    Attributes:
        at: Epoch milliseconds of its begin.
        ms: Milliseconds that it took.
        status: HTTP status; 0 without an answer.
        error: Why it did not succeed, one word; empty if it did.
    """

    at: int
    ms: int = 0
    status: int = 0
    error: str = ""


class Delivery(Struct, frozen=True, kw_only=True):
    """A delivery as its tenant sees it; times are epoch milliseconds, 0 for never.

    Attributes:
        id: The ``webhook-id``.
        job: Which job it tells of.
        endpoint: Id; None for a job's own address.
        event: What it tells.
        status: Where it stands.
        attempts: Calls that were begun, of all its schedules.
        created_ms: When it was made.
        due_ms: When it is sent next.
        ended_ms: When it ended.
        log: Its latest attempts, the oldest first.
    """

    id: str
    job: str
    endpoint: str | None
    event: Event
    status: Status
    attempts: int
    created_ms: int
    due_ms: int
    ended_ms: int
    log: tuple[Attempt, ...] = ()
