"""What an answer costs and on which terms it is given."""

from __future__ import annotations

from control_plane.contracts.compatibility.changes import Change
from control_plane.contracts.document import Contract, ExplainSpec


def condition_changes(before: Contract, after: Contract) -> list[Change]:
    """What changes in access, time and price."""
    return [
        *_access(before, after),
        *_deadline(before.deadline_ms, after.deadline_ms),
        *price_changes("/units", "input", before.units, after.units),
        *_explanations(before.explain, after.explain),
    ]


def _access(before: Contract, after: Contract) -> list[Change]:
    if before.anonymous and not after.anonymous:
        what = "Before: open to callers without a key. Now: closed to them. Keep `anonymous: true`."
        return [Change("/anonymous", what, breaking=True)]
    if after.anonymous and not before.anonymous:
        what = "Before: closed to callers without a key. Now: open to them."
        return [Change("/anonymous", what, adds=True)]
    return []


def _deadline(before: int, after: int) -> list[Change]:
    said = f"Before: requests may take {before} ms. Now: {after} ms."
    if after < before:
        follows = "Requests that were allowed to take longer end with 504. Keep the longer deadline"
        return [Change("/deadline_ms", f"{said} {follows}.", breaking=True)]
    return [Change("/deadline_ms", said, adds=True)] if after > before else []


def price_changes(where: str, one: str, before: int, after: int) -> list[Change]:
    """What changes for those who pay for one of something."""
    if before == after:
        return []
    follows = "costs more: quotas are used up sooner" if after > before else "costs less"
    what = f"Before: {before} units. Now: {after} units. One {one} {follows}."
    return [Change(where, what)]


def _explanations(before: ExplainSpec | None, after: ExplainSpec | None) -> list[Change]:
    where = "/explain"
    if before is None or after is None:
        if before is after:
            return []
        if after is None:
            what = "Before: answers can be explained. Now: they cannot. Keep `explain`."
            return [Change(where, what, breaking=True)]
        return [Change(where, "Before: no explanations. Now: answers can be explained.", adds=True)]
    found = price_changes(f"{where}/units", "explanation", before.units, after.units)
    for name, was, now in (
        ("method", before.method, after.method),
        ("field", before.field, after.field),
    ):
        if was != now:
            what = (
                f"Before: {was or 'none'}. Now: {now or 'none'}. Explanations say something else."
            )
            found.append(Change(f"{where}/{name}", what))
    return found
