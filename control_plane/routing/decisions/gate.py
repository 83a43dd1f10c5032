"""What a version has to pass before it may take over from the stable one."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from control_plane.errors import TidegateError
from control_plane.routing.state import ModelState


class Gate(Struct, frozen=True, kw_only=True):
    """What was found out about a version that is to be trusted.

    Attributes:
        ready: True if every Triton in reach has it, and its examples were answered there.
        reasons: Why it is not ready.
        changes: By which its contract breaks that of the stable version; empty if it does not.
        calls_for: The version number that the changes call for; empty if unknown.
        allow_breaking: True if the operator accepts them.
    """

    ready: bool
    reasons: tuple[str, ...] = ()
    changes: tuple[dict[str, Any], ...] = ()
    calls_for: str = ""
    allow_breaking: bool = False


def pass_gate(state: ModelState, version: str, gate: Gate | None) -> None:
    """Let a version through that is compatible and ready.

    Args:
        state: Of the model.
        version: One that it has.
        gate: What was found out; None if nothing was.

    Raises:
        TidegateError: ``CONTRACT_BREAKING`` or ``VERSION_NOT_READY``.
    """
    gate = gate or Gate(ready=False, reasons=("nothing is known of it here",))
    if gate.changes and not gate.allow_breaking:
        raise TidegateError(
            f"The contract of {version} breaks that of {state.stable}: make it compatible, give "
            "it the version number that the changes call for, or allow breaking changes",
            code="CONTRACT_BREAKING",
            details={
                "from": state.stable,
                "to": version,
                "changes": list(gate.changes),
                "calls_for": gate.calls_for,
            },
        )
    reasons = list(gate.reasons)
    if not state.versions[version].loaded:
        reasons.append("an operator unloaded it; load it first")
    if not gate.ready or not state.versions[version].loaded:
        raise TidegateError(
            f"{version} is not ready on every Triton in reach: mend what `details.reasons` names, "
            "then try again",
            code="VERSION_NOT_READY",
            details={"version": version, "reasons": reasons},
        )
