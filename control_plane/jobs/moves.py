"""What workers say: what they take, that they live, how it ended, and what they give back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.jobs.queries import fields_of, job_of
from control_plane.jobs.replies import Beat
from control_plane.jobs.scripts import MOST, parts
from control_plane.jobs.shapes import Claim, End, Hold, Size
from control_plane.jobs.steps import Steps
from control_plane.setting_groups import JobSettings


class Moves:
    """Moves jobs on behalf of workers; each change names its fence."""

    def __init__(self, steps: Steps, settings: JobSettings) -> None:
        """Keep jobs on a server.

        Args:
            steps: Its scripts and reads.
            settings: Lease, attempts, and how long ended jobs are kept.
        """
        self._steps = steps
        self._lease_ms = round(settings.lease_s * 1000)
        self._attempts = settings.attempts
        self._kept_ms = settings.kept_s * 1000

    async def claim(self, worker: str, size: Size, count: int) -> list[Claim]:
        """Take jobs that wait; at most 200.

        A claim whose answer is lost is not lost: its jobs go to others when the lease lapses.

        Args:
            worker: Who takes them; 64 characters at most.
            size: Of which slots.
            count: Slots that are free, at least 1.

        Raises:
            TidegateError: JOBS_UNAVAILABLE; so do all methods.
        """
        values = {"worker": worker, "size": size, "count": min(count, MOST),
                  "lease_ms": self._lease_ms}  # fmt: skip
        return [_claim(*row) for row in await self._steps.move("claim", values)]

    async def beat(self, beats: Sequence[Beat]) -> list[bool]:
        """Renew leases; False for each job that the worker does not hold any more."""
        told: list[Any] = []
        for part in parts(beats):
            values = {
                "lease_ms": self._lease_ms,
                "beats": [{**_named(beat.hold), "progress": beat.progress} for beat in part],
            }
            told += await self._steps.move("beat", values)
        return [bool(held) for held in told]

    async def finish(self, ends: Sequence[End]) -> list[bool]:
        """End jobs; False for each that the worker does not hold any more.

        An end may be told again if its answer was lost. Of a failed job all units go back,
        whatever ``refund`` says; of a completed one at most its price.
        """
        told: list[Any] = []
        for part in parts(ends, lambda end: len(end.result)):
            values = {"kept_ms": self._kept_ms, "ends": [_ended(end) for end in part]}
            told += await self._steps.move("finish", values)
        return [bool(ended) for ended in told]

    async def retry(self, hold: Hold, failure: End, delay_ms: int) -> bool:
        """Give a job back that failed in a way that may pass.

        After the last attempt it fails for good, as the failure says, and is a dead letter.

        Args:
            hold: Of which job.
            failure: Of this attempt; its state and refund do not matter.
            delay_ms: Milliseconds after which it may be taken again.

        Returns:
            False if the worker does not hold it any more.
        """
        values = {**_ended(failure), **_named(hold), "attempts": self._attempts,
                  "delay_ms": delay_ms, "kept_ms": self._kept_ms}  # fmt: skip
        return bool(await self._steps.move("retry", values))

    async def hand_back(self, holds: Sequence[Hold]) -> int:
        """Give jobs back unfinished, for others to take at once; how many were held still."""
        count = 0
        for part in parts(holds):
            count += await self._steps.move("hand_back", {"holds": [_named(hold) for hold in part]})
        return count


def _claim(flat: list[bytes], spec: bytes, job_id: bytes) -> Claim:
    fields = fields_of(flat)
    return Claim(job_of(job_id.decode(), fields), int(fields["fence"]), spec.decode())


def _named(hold: Hold) -> dict[str, Any]:
    return {"id": hold.id, "fence": hold.fence}


def _ended(end: End) -> dict[str, Any]:
    return {
        **_named(end.hold),
        "state": end.state,
        "result": end.result,
        "refund": end.refund,
        "error_code": end.error_code,
        "object_key": end.object_key,
    }
