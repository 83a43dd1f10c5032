"""What was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from loadtests.bench.load import LoadResult


class Submissions(Struct, frozen=True):
    """Jobs taken in by one HTTP process in a closed loop.

    Attributes:
        job_workers: Processes that worked on jobs meanwhile.
        load: What the generator saw.
        done: Jobs that ended during the run.
    """

    job_workers: int
    load: LoadResult
    done: int

    @property
    def rate(self) -> float:
        """Acknowledged jobs a second."""
        return (self.load.answers - self.load.refused) / self.load.seconds


class Throughput(Struct, frozen=True):
    """Jobs from end to end.

    Attributes:
        job_workers: Processes that worked on them.
        jobs: How many.
        seconds: From the first submission to the last end.
        submitting_s: From the first submission to the last.
        failed: Of the jobs, those that did not complete.
        worker_rss_mib: Resident memory of the largest worker afterwards, MiB.
    """

    job_workers: int
    jobs: int
    seconds: float
    submitting_s: float
    failed: int
    worker_rss_mib: float

    @property
    def rate(self) -> float:
        """Jobs a second, submission and end."""
        return self.jobs / self.seconds


class Page(Struct, frozen=True):
    """A page of a list, asked for many times.

    Attributes:
        what: The query, in words.
        p50_ms: Median time of the answer.
        p99_ms: Of 99 % of them.
        longest_ms: Of all.
    """

    what: str
    p50_ms: float
    p99_ms: float
    longest_ms: float


class Listing(Struct, frozen=True):
    """Lists of a tenant with many finished jobs.

    Attributes:
        jobs: How many it has.
        bytes_each: Memory of the server of record for each, its lists included.
        pages: What was asked.
    """

    jobs: int
    bytes_each: float
    pages: Sequence[Page]


class Results(Struct, frozen=True):
    """Everything; what was not asked for is empty.

    Attributes:
        environment: Of the run, in words.
        submissions: Runs of the generator.
        throughput: Runs from end to end.
        listing: Of a tenant with many jobs.
    """

    environment: Mapping[str, str]
    submissions: Sequence[Submissions] = ()
    throughput: Sequence[Throughput] = ()
    listing: Listing | None = None
