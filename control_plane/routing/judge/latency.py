"""Tests of latency: is the candidate too often slower than a quantile of the control?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from control_plane.routing.judge.clusters import above, means
from control_plane.routing.judge.evidence import NONE, Groups, Sides
from control_plane.routing.judge.fields import bucket_end_s, buckets_of
from control_plane.routing.judge.findings import Finding, difference, unknown
from control_plane.routing.judge.sequential import excess

SCALES: Final = {0.5: 0.25, 0.99: 0.04}
"""Size of differences that matter, by quantile: shares of requests beyond it."""


def latency(sides: Sides, quantile: float, ratio: float, threshold: float) -> Finding:
    """Whether the candidate is slower than ``ratio`` x the control's quantile too often.

    The hypothesis: at every latency, the candidate exceeds ``ratio`` x it no more often than the
    control exceeds it, or than ``1 - quantile``. So where to look may depend on the data: the end
    of the bucket that is nearest to the control's quantile. How far that may be off is in the
    variance, which has the control's part as if the latency had been chosen before.

    Args:
        sides: What is compared.
        quantile: 0.5 or 0.99.
        ratio: Tolerated ratio; counts as the next one of the scale, up to 8 % more.
        threshold: Logarithm of the e-value that is an alarm.
    """
    test = f"latency_p{quantile * 100:.0f}"
    ours, theirs = sides.candidate.latency, sides.control.latency
    if not (ours and theirs):
        return unknown(test, "Too few answers to compare")
    usual = _nearest(theirs, quantile)
    slow = usual + buckets_of(ratio)
    pair = means(
        (_slower(ours, slow), _sum(list(ours.values()))),
        (_slower(theirs, usual), _sum(list(theirs.values()))),
        evened=sides.evened,
    )
    if pair is None:
        return unknown(test, "Too few answers, groups of subjects or slow answers to compare")
    estimate = above(*pair)
    tolerance = max(0.0, 1 - quantile - pair[1].value)
    finding = difference(
        test,
        f"{pair[0].share:.1%} of the candidate's {pair[0].number} answers took longer than "
        f"{bucket_end_s(slow) * 1000:.3g} ms, {pair[1].share:.1%} of the control's "
        f"{pair[1].number} longer than {bucket_end_s(usual) * 1000:.3g} ms",
        pair,
        (excess(above(*pair, tolerance=tolerance), SCALES[quantile]), threshold),
        (estimate, SCALES[quantile]),
    )
    return msgspec.structs.replace(
        finding,
        candidate=bucket_end_s(_quantile(ours, quantile)),
        control=bucket_end_s(_quantile(theirs, quantile)),
    )


def _quantile(latency: Mapping[int, Groups], quantile: float) -> int:
    totals = {bucket: sum(groups) for bucket, groups in latency.items()}
    left = sum(totals.values())
    beyond = (1 - quantile) * left
    for bucket in sorted(totals):
        left -= totals[bucket]
        if left <= beyond:
            return bucket
    return max(totals)


def _nearest(latency: Mapping[int, Groups], quantile: float) -> int:
    totals = {bucket: sum(groups) for bucket, groups in latency.items()}
    left = sum(totals.values())
    beyond = (1 - quantile) * left
    found: list[tuple[float, int]] = []
    for bucket in sorted(totals):
        left -= totals[bucket]
        found.append((abs(left - beyond), bucket))
    return min(found)[1]


def _slower(latency: Mapping[int, Groups], bucket: int) -> Groups:
    return _sum([groups for each, groups in latency.items() if each > bucket])


def _sum(counts: list[Groups]) -> Groups:
    return tuple(map(sum, zip(*counts, strict=True))) if counts else NONE
