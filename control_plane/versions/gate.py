"""What a version has to pass before it is trusted: it is ready, and breaks nothing."""

from __future__ import annotations

import msgspec

from control_plane.contracts.compatibility.changes import Change, Comparison
from control_plane.contracts.compatibility.compare import compare
from control_plane.contracts.compiler import CompiledContract
from control_plane.routing.decisions.gate import Gate
from control_plane.versions.shelf import Shelf
from control_plane.versions.standing import Standing, is_ready_everywhere, obstacles


def compared(shelf: Shelf, before: CompiledContract, after: CompiledContract) -> Comparison:
    """Compare two contracts, and the shapes that the models' configurations declare."""
    configs = shelf.configs.get(before.backing.model), shelf.configs.get(after.backing.model)
    if configs[0] is None or configs[1] is None:
        return compare(before, after)
    return compare(before, after, (configs[0].signature(), configs[1].signature()))


def gate(
    shelf: Shelf,
    model: str,
    stable: str | None,
    version: str,
    standings: list[Standing],
    *,
    allow_breaking: bool,
) -> Gate:
    """The facts by which a version is let through, or not.

    Args:
        shelf: The repository.
        model: Public name.
        stable: The version that it would take the place of, if there is one.
        version: Which.
        standings: How far it is on every Triton.
        allow_breaking: True if the operator accepts that it breaks the other's contract.
    """
    after = shelf.contract(model, version)
    if after is None:
        reasons = ("the repository has no contract of it that is free of faults",)
        return Gate(ready=False, reasons=reasons, allow_breaking=allow_breaking)
    changes, calls_for = _breaks(shelf, model, stable, after)
    return Gate(
        ready=is_ready_everywhere(standings),
        reasons=obstacles(standings),
        changes=tuple(msgspec.to_builtins(change) for change in changes),
        calls_for=calls_for,
        allow_breaking=allow_breaking,
    )


def _breaks(
    shelf: Shelf, model: str, stable: str | None, after: CompiledContract
) -> tuple[list[Change], str]:
    if stable is None or stable == after.version:
        return [], ""
    before = shelf.contract(model, stable)
    if before is None:
        what = f"the repository has no contract of {stable} any more: nothing can be shown"
        return [Change("", what, breaking=True)], ""
    found = compared(shelf, before, after)
    return [change for change in found.changes if change.breaking], found.calls_for
