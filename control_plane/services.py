"""What the doors work with, built by ``lifespan``."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from control_plane.admission.service import Admission
from control_plane.pipeline import Pipeline
from control_plane.routing.feedback.accuracy import Accuracies
from control_plane.routing.feedback.service import Feedback
from control_plane.settings import Settings
from control_plane.telemetry.metrics import Metrics


class Services(Struct, frozen=True):
    """The services of one process.

    Attributes:
        settings: As they were read at the start.
        pipeline: Takes requests through the stages.
        admission: Who calls, and whether it may proceed.
        feedback: Takes the truth about predictions.
        accuracies: How right versions were.
        metrics: Where calls and requests are counted.
        records_up: Whether the system of record answered when last asked, a second ago or two.
    """

    settings: Settings
    pipeline: Pipeline
    admission: Admission
    feedback: Feedback
    accuracies: Accuracies
    metrics: Metrics
    records_up: Callable[[], bool]
