"""What a rollout's judge watches: the differences that a candidate is allowed, with their ranges.

``docs/judge.md`` says how each is tested.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

ErrorRatio = Annotated[float, Meta(ge=1, le=10, description="Times the control's failures")]
ErrorRate = Annotated[float, Meta(ge=0.05, le=1, description="Share of requests that fail")]
LatencyRatio = Annotated[float, Meta(ge=1, le=100, description="Times the control's latency")]
Difference = Annotated[float, Meta(ge=0, le=1, description="Difference of two shares")]
Agreement = Annotated[float, Meta(gt=0, lt=1, description="Share of equal answers")]
FalseAlarm = Annotated[float, Meta(ge=1e-6, le=0.1, description="Probability, over all steps")]


class Guards(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much worse than the control a candidate may be; None switches a guard off.

    Attributes:
        error_ratio: Failures, as a multiple of the control's, 1 to 10. A failure is what a version
            can be blamed for: its 5xx and its timeouts.
        max_error_rate: Share of failed requests, 0.05 to 1, that is too much at once, however few
            the subjects, where the control's share is at most half of it.
        latency_p50_ratio: Median latency, as a multiple of the control's, 1 to 100.
        latency_p99_ratio: 99th percentile of latency, as a multiple of the control's, 1 to 100.
        max_shift: Difference of any label's share of the predictions, 0 to 1.
        min_agreement: Least share of equal answers in shadow, between 0 and 1.
        max_accuracy_drop: Loss of mean score where there is feedback, 0 to 1.
        false_alarm: Probability, 0.000001 to 0.1, with which a candidate within all of these
            limits is rolled back over a whole plan.
    """

    error_ratio: ErrorRatio | None = 1.0
    max_error_rate: ErrorRate | None = 0.5
    latency_p50_ratio: LatencyRatio | None = 1.25
    latency_p99_ratio: LatencyRatio | None = 1.5
    max_shift: Difference | None = 0.1
    min_agreement: Agreement | None = None
    max_accuracy_drop: Difference | None = 0.02
    false_alarm: FalseAlarm = 0.01
