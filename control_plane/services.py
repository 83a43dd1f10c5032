"""What the doors work with, built by ``lifespan``."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from control_plane.admission.service import Admission
from control_plane.idempotency.digests import Digests
from control_plane.idempotency.once import Once
from control_plane.jobs.service import Jobs
from control_plane.jobs.streams import Streams
from control_plane.pipeline import Pipeline
from control_plane.routing.feedback.accuracy import Accuracies
from control_plane.routing.feedback.service import Feedback
from control_plane.settings import Settings
from control_plane.telemetry.metrics import Metrics
from control_plane.uploads.room import UploadRoom
from control_plane.webhooks.room import Webhooks


class Services(Struct, frozen=True):
    """The services of one process.

    Attributes:
        settings: As they were read at the start.
        pipeline: Takes requests through the stages.
        admission: Who calls, and whether it may proceed.
        feedback: Takes the truth about predictions.
        accuracies: How right versions were.
        uploads: Large files.
        webhooks: Who is told of ends of jobs, and how that went.
        jobs: Work that is left and asked for later.
        streams: Counts open streams of events.
        once: Answers requests under an idempotency key once.
        digests: What is kept of such keys and requests.
        metrics: Where calls and requests are counted.
        records_up: Whether the system of record answered when last asked, a second ago or two.
    """

    settings: Settings
    pipeline: Pipeline
    admission: Admission
    feedback: Feedback
    accuracies: Accuracies
    uploads: UploadRoom
    webhooks: Webhooks
    jobs: Jobs
    streams: Streams
    once: Once
    digests: Digests
    metrics: Metrics
    records_up: Callable[[], bool]
