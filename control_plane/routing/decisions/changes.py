"""What a change of a model, or of the repository, checks, writes, audits and tells: no I/O.

::

    state before ─► Decided ─► Change ─► records/write_record.lua, one atomic step
"""

from __future__ import annotations

from control_plane.records.record import Record
from control_plane.records.transaction import (
    Change,
    Check,
    Command,
    Entry,
    Moved,
    is_revision,
    stored,
)
from control_plane.routing import layout
from control_plane.routing.state import EndedRollout, ModelState


def model_changed(
    before: ModelState | None,
    after: ModelState,
    action: str,
    ended: tuple[EndedRollout | None, EndedRollout] | None = None,
) -> Change:
    """A model stands elsewhere, and with it a rollout that has ended.

    Args:
        before: As it was read; None if there was none.
        after: As it shall be.
        action: For the audit log.
        ended: What was kept of a rollout's end, and what shall be.
    """
    key = layout.model_record(after.name)
    checks = [_unchanged(key, before)]
    writes: list[Command] = [("SET", key, stored(after)), ("ZADD", layout.MODELS, "0", after.name)]
    if ended is not None:
        earlier, record = ended
        place = layout.rollout_record(record.id)
        checks.append(_unchanged(place, earlier))
        writes.append(("SET", place, stored(record)))
        writes.append(("ZADD", layout.rollouts_of(record.model), "0", record.id))
    entry = Entry(action, f"model:{after.name}", before, after)
    return Change(tuple(checks), tuple(writes), (entry,))


def repository_refreshed(before: Record | None, after: Record) -> Change:
    """Every process is to read the model repository again."""
    return Change(
        (_unchanged(layout.REPOSITORY, before),),
        (("SET", layout.REPOSITORY, stored(after)),),
        (Entry("repository.refresh", layout.REPOSITORY_NEWS, before, after),),
    )


def _unchanged(key: str, before: Record | None) -> Check:
    if before is not None:
        return is_revision(key, before.revision)
    return Check(("revision", key), 0, lambda _: Moved("Somebody else wrote it first"))
