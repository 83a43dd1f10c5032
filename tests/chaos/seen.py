"""What a run saw, for the audit and the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec import Struct

from tests.chaos.plan import Errand


class Sample(Struct, frozen=True):
    """A job as it was read once.

    Attributes:
        state: As the API calls it.
        progress: 0 to 100.
        revision: Of the store; -1 if it was not looked at.
        ended_at: As the API says.
        outcome: Result or error of an ended job.
        attempts: How often a worker took it.
    """

    state: str
    progress: int
    revision: int
    ended_at: str | None
    outcome: Any
    attempts: int


class Event(Struct, frozen=True):
    """A webhook whose signature was right."""

    message: str
    kind: str
    job: str


class Recovery(Struct, frozen=True):
    """A job whose worker was killed.

    Attributes:
        job: Its id.
        seconds: From the kill until a worker took it again.
        is_first: True if it was lost with no worker before; a suspect waits for its turn, too.
    """

    job: str
    seconds: float
    is_first: bool


class Seen:
    """Everything that was seen.

    Attributes:
        jobs: Ids of acknowledged jobs, with what each was to become.
        samples: Of each job, in the order in which they were read.
        at_the_end: Of each job, after all had ended.
        again: The same, read last of all.
        events: Webhooks.
        forged: Webhooks whose signature was wrong.
        canceled: Jobs of which the API said that they were canceled.
        listed: Ids of all jobs that the tenants have.
        left: Keys of the store that should be gone, in words.
        refused: Answers that nobody expected, in words.
        stale: Stale writes by what they tried: [refused, accepted].
        blows: By what was hit.
        recoveries: Of jobs whose worker was killed.
        tries: How often clients sent a submission.
        replayed: Submissions that were answered by the job of an earlier try.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Errand] = {}
        self.samples: dict[str, list[Sample]] = {}
        self.at_the_end: dict[str, Sample] = {}
        self.again: dict[str, Sample] = {}
        self.events: list[Event] = []
        self.forged = 0
        self.canceled: set[str] = set()
        self.listed: set[str] = set()
        self.left: list[str] = []
        self.refused: list[str] = []
        self.stale: dict[str, list[int]] = {}
        self.blows: Counter[str] = Counter()
        self.recoveries: list[Recovery] = []
        self.tries = 0
        self.replayed = 0

    def sample(self, job: str, sample: Sample) -> None:
        """Note a reading."""
        self.samples.setdefault(job, []).append(sample)

    def struck(self, what: str, *, accepted: bool) -> None:
        """Note a stale write."""
        counts = self.stale.setdefault(what, [0, 0])
        counts[accepted] += 1
