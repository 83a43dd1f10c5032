"""What was counted of rollouts and versions, for operators: read from the limits server."""

from __future__ import annotations

from typing import Annotated

import redis.asyncio as redis
from msgspec import Meta, Struct

from control_plane.records.server import read
from control_plane.routing.judge.evidence import Arm
from control_plane.routing.judge.fields import bucket_end_s
from control_plane.routing.judge.judgement import Judgement, Judgements
from control_plane.routing.shadow.differences import Difference
from control_plane.routing.shadow.reading import ShadowReader
from control_plane.routing.shadow.report import ShadowReport
from control_plane.routing.state import BUCKETS, Percent, Range, Rollout, VersionName
from control_plane.sealing import Sealer

Number = Annotated[int, Meta(ge=0)]
Seconds = Annotated[
    float | None, Meta(description="Upper end of a bucket, 8 % wide; null without answers")
]


class Figures(Struct, frozen=True, kw_only=True):
    """What one side did at the present step."""

    percent: Annotated[Percent, Meta(description="Of the subjects")]
    requests: Number
    failed: Annotated[Number, Meta(description="Through what a version can be blamed for")]
    failing_subjects: Annotated[Number, Meta(description="With at least one such failure")]
    latency_p50_s: Seconds
    latency_p99_s: Seconds
    labels: Annotated[
        dict[str, Number], Meta(description="Predictions by label; the empty one is all others")
    ]


class Sides(Struct, frozen=True, kw_only=True):
    """A candidate and what it is compared with; of a shadow, the answers that were given."""

    version: VersionName
    candidate: Figures
    control: Figures


class Insight(Struct, frozen=True, kw_only=True):
    """What was counted of a running rollout."""

    sides: list[Sides]
    judgement: Annotated[Judgement | None, Meta(description="The judge's latest")]
    shadows: Annotated[
        dict[str, ShadowReport], Meta(description="Of the whole rollout, by candidate")
    ]


class Insights:
    """Reads what was counted.

    Every method raises :class:`AdmissionUnavailable` if the server does not answer a step within
    two seconds.
    """

    def __init__(self, server: redis.Redis, data_key: str) -> None:
        """Read from the limits server.

        Args:
            server: A client of it.
            data_key: Decrypts inputs that differences show.
        """
        self._server = server
        self._judgements = Judgements(server)
        self._shadows = ShadowReader(server, Sealer(data_key))

    async def of(self, rollout: Rollout) -> Insight:
        """What was counted of a running rollout at its present step, and of its shadows."""
        return Insight(
            sides=[await self._sides(rollout, each.version) for each in rollout.candidates],
            judgement=await read(self._server, lambda: self._judgements.latest(rollout.id)),
            shadows=await self.shadows(rollout),
        )

    async def shadows(self, rollout: Rollout) -> dict[str, ShadowReport]:
        """What the candidates saw in shadow, of those that saw anything."""
        versions = [candidate.version for candidate in rollout.candidates]
        reports = {version: await self.shadow(rollout.id, version) for version in versions}
        return {
            version: report
            for version, report in reports.items()
            if report.compared or report.errors or report.dropped
        }

    async def shadow(self, rollout: str, version: str) -> ShadowReport:
        """What a version saw in shadow; empty if it saw nothing."""
        return await self._shadows.report(rollout, version)

    async def differences(self, rollout: str, version: str, limit: int) -> list[Difference]:
        """The worst disagreements of a shadow, the worst first, at most 200."""
        return await self._shadows.differences(rollout, version, limit)

    async def _sides(self, rollout: Rollout, version: str) -> Sides:
        evidence = await read(self._server, lambda: self._judgements.evidence(rollout, version))
        return Sides(
            version=version,
            candidate=_figures(evidence.candidate, rollout.buckets.get(version, ())),
            control=_figures(evidence.control, rollout.control),
        )


def _figures(arm: Arm, ranges: tuple[Range, ...]) -> Figures:
    latency = {bucket: sum(groups) for bucket, groups in arm.latency.items()}
    return Figures(
        percent=sum(end - first for first, end in ranges) * 100 / BUCKETS,
        requests=sum(arm.requests),
        failed=sum(arm.failed),
        failing_subjects=arm.failing_subjects,
        latency_p50_s=_quantile_s(latency, 0.5),
        latency_p99_s=_quantile_s(latency, 0.99),
        labels={label: sum(groups) for label, groups in sorted(arm.labels.items())},
    )


def _quantile_s(latency: dict[int, int], portion: float) -> float | None:
    """The end of the first bucket up to which there are so many of the answers."""
    wanted, seen = portion * sum(latency.values()), 0
    for bucket in sorted(latency):
        seen += latency[bucket]
        if seen and seen >= wanted:
            return bucket_end_s(bucket)
    return None
