"""What the store of jobs is asked and what it answers, beside the jobs themselves."""

from __future__ import annotations

from msgspec import Struct

from control_plane.jobs.shapes import Hold, Priority, Size, State


class Submitted(Struct, frozen=True):
    """A job that is kept.

    Attributes:
        id: Of the job; of the first one, if its idempotency key came before.
        replayed: True if the idempotency key came before, with the same request.
    """

    id: str
    replayed: bool = False


class Beat(Struct, frozen=True):
    """A sign of life.

    Attributes:
        hold: Of which job.
        progress: 0 to 100; less than what was told before changes nothing.
    """

    hold: Hold
    progress: int = 0


class Kept(Struct, frozen=True):
    """What came out of a job.

    Attributes:
        sealed: Result or envelope of the error, sealed; empty if it lies in the object store.
        object_key: Where in the object store; empty otherwise.
    """

    sealed: str
    object_key: str = ""


class Forgettable(Struct, frozen=True):
    """A job that was kept long enough.

    Attributes:
        id: Of the job.
        object_key: Of its result in the object store, to be deleted first; empty without one.
    """

    id: str
    object_key: str = ""


class Swept(Struct, frozen=True):
    """What one sweep did, in jobs.

    Attributes:
        expired: Ended because their time was over.
        lost: Wait again after their worker gave no sign.
        failed: Ended because their last worker gave no sign.
        ripe: Whose delay was over.
    """

    expired: int = 0
    lost: int = 0
    failed: int = 0
    ripe: int = 0


class JobQuery(Struct, frozen=True, kw_only=True):
    """Which jobs; what is None lets every job through.

    Attributes:
        state: In this state.
        model: Of this public name.
        after_ms: Submitted at this time or later, epoch milliseconds by the job's id.
        before_ms: Submitted before this time.
    """

    state: State | None = None
    model: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None


class Depth(Struct, frozen=True, kw_only=True):
    """How many jobs lie where, in all.

    Attributes:
        waiting: By size and priority, those that could be taken now.
        suspects: By size, those lost with two workers, which are taken one at a time.
        delayed: Wait for a time.
        running: In a worker's hands.
        kept: Have ended and are not forgotten.
        dead: Failed for good after the last attempt.
        outbox: Ends that no webhook dispatcher has taken up.
        refunds: Refunds that nobody has applied.
    """

    waiting: dict[tuple[Size, Priority], int]
    suspects: dict[Size, int]
    delayed: int
    running: int
    kept: int
    dead: int
    outbox: int
    refunds: int
