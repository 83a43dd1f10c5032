"""From two contracts to a verdict and the version number that their changes call for."""

from __future__ import annotations

from control_plane.contracts.compatibility.answers import Signatures, answer_changes
from control_plane.contracts.compatibility.changes import Change, Comparison
from control_plane.contracts.compatibility.conditions import condition_changes
from control_plane.contracts.compatibility.requests import request_changes
from control_plane.contracts.compatibility.streams import stream_changes
from control_plane.contracts.compiler import CompiledContract
from control_plane.types import Version


def compare(
    before: CompiledContract, after: CompiledContract, signatures: Signatures | None = None
) -> Comparison:
    """Whether clients of one version can be given another, and why not.

    Titles, descriptions, examples, warnings and what is inside (tensors' names, the backing) are
    not compared; changed defaults and prices are told and break nothing.

    Args:
        before: The version that clients use.
        after: The one that is to take its place, of the same model.
        signatures: What Triton says of both models, before's first, if it is known: without it
            the shape and datatype of output tensors are not compared.

    Raises:
        ValueError: If they are versions of different models.
    """
    if before.ref.name != after.ref.name:
        raise ValueError(f"{before.ref} and {after.ref} are not versions of one model")
    found = {
        *request_changes(before, after),
        *answer_changes(before.contract.answer, after.contract.answer, signatures),
        *condition_changes(before.contract, after.contract),
        *stream_changes(before.stream, after.stream),
    }
    changes = tuple(sorted(found, key=lambda one: (not one.breaking, one.where, one.what)))
    called = _called_for(before.ref.version, changes)
    return Comparison(
        model=before.ref.name,
        before=before.version,
        after=after.version,
        changes=changes,
        is_compatible=not any(change.breaking for change in changes),
        calls_for=str(called),
        is_numbered_well=after.ref.version >= called,
    )


def _called_for(before: Version, changes: tuple[Change, ...]) -> Version:
    if any(change.breaking for change in changes):
        return Version(before.major + 1, 0, 0)
    if any(change.adds for change in changes):
        return Version(before.major, before.minor + 1, 0)
    return Version(before.major, before.minor, before.patch + 1)
