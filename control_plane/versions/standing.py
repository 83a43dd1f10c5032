"""How far a version is on every Triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from control_plane.inference.keeper import ModelReport
from control_plane.inference.lanes import Lanes
from control_plane.inference.pool import BackendPool, Endpoint
from control_plane.types import Backing

Situation = Literal["ready", "examined", "refused", "loading", "failed", "absent", "away"]


class Standing(Struct, frozen=True):
    """A version on one Triton."""

    server: Annotated[str, Meta(description="gRPC address, `host:port`")]
    state: Annotated[
        Situation,
        Meta(
            description="`ready`: it may answer. `examined`: it is loaded and its contract's "
            "examples are being tried. `refused`: they fail, or contract and model disagree. "
            "`loading`; `failed` to load; `absent`: it is not loaded. `away`: this Triton does "
            "not answer"
        ),
    ]
    reasons: Annotated[list[str], Meta(description="Why it is not ready, as far as it is known")]


def standings(
    backing: Backing,
    pool: BackendPool,
    lanes: Lanes,
    reports: Mapping[tuple[str, str], ModelReport],
) -> list[Standing]:
    """How far a version is on each server.

    Args:
        backing: What serves it.
        pool: The servers.
        lanes: Know where it was found fit.
        reports: How far what is wanted is loaded, by server and Triton model.
    """
    refused = lanes.refused.get(backing, {})
    return [
        _standing(
            backing,
            endpoint,
            refused.get(endpoint.backend.name),
            reports.get((endpoint.backend.name, backing.model)),
        )
        for endpoint in pool.endpoints
    ]


def is_ready_everywhere(found: list[Standing]) -> bool:
    """True if it is ready on every Triton in reach, and there is one."""
    in_reach = [each for each in found if each.state != "away"]
    return bool(in_reach) and all(each.state == "ready" for each in in_reach)


def obstacles(found: list[Standing]) -> tuple[str, ...]:
    """Why it is not ready everywhere, a sentence each."""
    if all(each.state == "away" for each in found):
        return ("no Triton answers",)
    return tuple(
        f"it is {each.state} on {each.server}"
        + (f": {'; '.join(each.reasons)}" * bool(each.reasons))
        for each in found
        if each.state not in {"ready", "away"}
    )


def _standing(
    backing: Backing,
    endpoint: Endpoint,
    refused: list[str] | None,
    report: ModelReport | None,
) -> Standing:
    server = endpoint.backend.name
    if endpoint.takes(backing):
        return Standing(server, "ready", [])
    if refused is not None and backing in endpoint.ready:
        return Standing(server, "refused", refused)
    if backing in endpoint.ready:
        return Standing(server, "examined", [])
    if report is None:
        return Standing(server, "absent", [])
    return Standing(server, _situation(report), _reasons(report))


def _situation(report: ModelReport) -> Situation:
    match report.state:
        case "unknown":
            return "away"
        case "ready":
            # Its server has told so, and the next look at its health will.
            return "examined"
        case _:
            return report.state


def _reasons(report: ModelReport) -> list[str]:
    if not report.reason:
        return []
    if not report.retry_s:
        return [report.reason]
    return [report.reason, f"tried {report.failures} times, again in {report.retry_s:.0f} s"]
