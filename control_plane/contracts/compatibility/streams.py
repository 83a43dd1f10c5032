"""Whether an object that a job could name can be named now, and is read as before."""

from __future__ import annotations

from control_plane.contracts.compatibility.changes import Change
from control_plane.contracts.compatibility.conditions import price_changes
from control_plane.contracts.compatibility.keywords import listed
from control_plane.contracts.document import StreamSpec


def stream_changes(before: StreamSpec | None, after: StreamSpec | None) -> list[Change]:
    """What changes for jobs that name an object."""
    where = "/stream"
    if before is None and after is None:
        return []
    if before is None:
        return [Change(where, "Before: no objects. Now: jobs may name one.", adds=True)]
    if after is None:
        what = "Before: jobs may name an object. Now: they may not. Keep `stream`."
        return [Change(where, what, breaking=True)]
    return [
        *_renamed(before, after),
        *_media_types(before.media_types, after.media_types),
        *_size(before.max_bytes, after.max_bytes),
        *price_changes(
            f"{where}/units_per_mib", "MiB of an object", before.units_per_mib, after.units_per_mib
        ),
    ]


def _renamed(before: StreamSpec, after: StreamSpec) -> list[Change]:
    found = []
    if before.object != after.object:
        what = (
            f"Before: a job names the object {before.object}. Now: {after.object}. "
            f"Jobs that were valid are refused. Keep the name."
        )
        found.append(Change("/stream/object", what, breaking=True))
    if before.reader != after.reader:
        what = (
            f"Before: read by {before.reader}. Now: by {after.reader}. "
            f"Results have other fields. Keep the reader."
        )
        found.append(Change("/stream/reader", what, breaking=True))
    return found


def _media_types(before: list[str], after: list[str]) -> list[Change]:
    where = "/stream/media_types"
    found = []
    if gone := [name for name in before if name not in after]:
        what = f"Before: {listed(gone)} among the types. Now: refused. Keep reading it."
        found.append(Change(where, what, breaking=True))
    if added := [name for name in after if name not in before]:
        what = f"Before: types without {listed(added)}. Now: with it."
        found.append(Change(where, what, adds=True))
    return found


def _size(before: int, after: int) -> list[Change]:
    said = f"Before: objects of at most {before} bytes. Now: {after} bytes."
    if after < before:
        what = f"{said} Larger ones are refused. Keep the limit."
        return [Change("/stream/max_bytes", what, breaking=True)]
    return [Change("/stream/max_bytes", said, adds=True)] if after > before else []
