"""What a job is, from its submission to its end."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Final

from msgspec import Struct

from control_plane.patterns import exactly
from control_plane.types import PinnedObject

JOB_ID: Final = exactly("job_[0-9a-f]{32}")
"""Ids sort by the time of submission, so that a list of ids is a list by time."""


class State(StrEnum):
    """Where a job stands; it only moves to the right, and an end is for ever.

    ``pending → processing → completed | failed | canceled | expired``. A job that a worker lost or
    handed back stays ``processing`` for who looks, while it waits for another.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_end(self) -> bool:
        """True for the four that nothing follows."""
        return self not in {State.PENDING, State.PROCESSING}


class Task(StrEnum):
    """What is done with the inputs."""

    PREDICT = "predict"
    BATCH = "batch"
    EXPLAIN = "explain"


class Size(StrEnum):
    """Which slots of a worker a job takes: seconds at most, or minutes."""

    SHORT = "short"
    LONG = "long"


class Priority(IntEnum):
    """Which of the waiting are taken first; the lower still get their part of the slots."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class Spec(Struct, frozen=True, kw_only=True):
    """What is to be done. Kept encrypted, and deleted at the job's end unless it failed.

    Attributes:
        inputs: Valid under the contract and completed; of a batch a list of inputs as they came.
        options: Of the request, those that the task knows.
        major: API major of the result.
        request_id: Of the submission.
        objects: By the name of the input: the large files that the inputs name, as they were.
        webhook_url: Is told of the end; None for the tenant's endpoints alone.
        schema: Version of this shape.
    """

    inputs: Any
    options: dict[str, Any] = {}
    objects: dict[str, PinnedObject] = {}
    major: int = 1
    request_id: str = ""
    webhook_url: str | None = None
    schema: int = 1


class Submission(Struct, frozen=True, kw_only=True):
    """A job that is to be kept.

    Attributes:
        id: Minted by who submits.
        tenant: Whose it is.
        client: Who of the tenant, as in ``Principal.client``.
        model: Public name.
        version: Pinned.
        task: What is done.
        size: Which slots it takes.
        priority: By the tenant's tier.
        units: Price that was paid.
        spec: A sealed :class:`Spec`.
        hook: The sealed address that is told of the end; empty without one. It outlives the spec.
        start_at_ms: Epoch milliseconds before which it is not taken; 0 for at once.
        cancel_after_ms: Milliseconds from now after which it expires; 0 for never.
        key: Digest of the idempotency key; empty without one.
        digest: Of what the request asked for, told apart under one idempotency key.
    """

    id: str
    tenant: str
    client: str
    model: str
    version: str
    task: Task
    size: Size
    priority: Priority
    units: int
    spec: str
    hook: str = ""
    start_at_ms: int = 0
    cancel_after_ms: int = 0
    key: str = ""
    digest: str = ""


class Job(Struct, frozen=True, kw_only=True):
    """A job as it is kept, without what it is made of; times are epoch milliseconds, 0 for never.

    Attributes:
        id: See :data:`JOB_ID`.
        tenant: Whose it is.
        client: Who of the tenant.
        model: Public name.
        version: Pinned at submission.
        task: What is done.
        state: Where it stands.
        progress: 0 to 100.
        attempts: How often a worker took it.
        revision: Grows with each change that can be seen; the id of the event.
        units: Price.
        refunded: Of these, units that were given back.
        created_ms: When it was taken in, by the server's clock.
        start_at_ms: Before which it is not taken.
        started_ms: When a worker first took it.
        ended_ms: When it ended.
        expires_ms: When it expires, if it has not ended.
        kept_until_ms: When it is forgotten.
        error_code: Of the envelope of a failed job; empty for others.
    """

    id: str
    tenant: str
    client: str
    model: str
    version: str
    task: Task
    state: State
    progress: int
    attempts: int
    revision: int
    units: int
    refunded: int
    created_ms: int
    start_at_ms: int
    started_ms: int
    ended_ms: int
    expires_ms: int
    kept_until_ms: int
    error_code: str = ""


class Claim(Struct, frozen=True):
    """A job in a worker's hands.

    Attributes:
        job: As it is now.
        fence: Of this worker's hold; every change that it makes names it, and a change with an
            older one is refused.
        spec: Sealed.
    """

    job: Job
    fence: int
    spec: str


class Hold(Struct, frozen=True):
    """What a worker names when it speaks of a job that it holds.

    Attributes:
        id: Of the job.
        fence: Of the claim.
    """

    id: str
    fence: int


class End(Struct, frozen=True, kw_only=True):
    """How a worker ends a job.

    Attributes:
        hold: Of which job.
        state: ``completed`` or ``failed``.
        result: Sealed: of a completed job its result, of a failed one the error's envelope.
        refund: Units to give back.
        error_code: Of a failed job.
        object_key: Where the result lies in the object store, if it is there; empty otherwise.
    """

    hold: Hold
    state: State
    result: str
    refund: int = 0
    error_code: str = ""
    object_key: str = ""
