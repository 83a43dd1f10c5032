"""What was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from loadtests.rollouts.traffic import Seen


class Latency(Struct, frozen=True):
    """Quantiles, milliseconds."""

    p50_ms: float
    p99_ms: float
    longest_ms: float


class TakenBack(Struct, frozen=True):
    """A bad candidate, from its start until nobody got it any more.

    Attributes:
        after_s: Seconds from the start of the rollout to the verdict; None if there was none.
        requests: Answered meanwhile.
        of_candidate: Of these, those that the candidate was to answer.
        failed: Of these, those answered 5xx or not at all.
        lingered_s: Seconds from the verdict to the last answer of the candidate; 0 if there came
            none after it.
        late: Answers of the candidate after the verdict.
        failed_later: Requests answered 5xx, or not at all, more than 2 s after the verdict.
    """

    after_s: float | None
    requests: int
    of_candidate: int
    failed: int
    lingered_s: float
    late: int
    failed_later: int


class Identical(Struct, frozen=True):
    """An identical candidate.

    Attributes:
        seconds: How long it was judged.
        requests: Answered.
        of_candidate: Of these by the candidate.
        alarms: Roll-backs.
        failed: Requests answered anything but 200.
    """

    seconds: float
    requests: int
    of_candidate: int
    alarms: int
    failed: int


class Handover(Struct, frozen=True):
    """One version that takes over from another, which is then unloaded.

    Attributes:
        requests: Sent.
        lost: In words, those answered anything but 200, or not at all.
        latency: Of all.
        worst_ms: Longest answer in each part, by its name, milliseconds.
        lasted_s: Seconds of each part, by its name.
    """

    requests: int
    lost: Sequence[str]
    latency: Latency
    worst_ms: Mapping[str, float]
    lasted_s: Mapping[str, float]


class Share(Struct, frozen=True):
    """What became of the requests that a shadow was meant to see, by the report."""

    compared: int
    failed: Mapping[str, int]
    dropped: Mapping[str, int]

    @property
    def meant(self) -> int:
        """Requests."""
        return self.compared + sum(self.failed.values()) + sum(self.dropped.values())


class Cpu(Struct, frozen=True):
    """Processor time a request, milliseconds, of the HTTP process and of Triton."""

    tidegate_ms: float
    triton_ms: float


class Block(Struct, frozen=True):
    """Some seconds with or without a shadow."""

    rate: float
    latency: Latency
    cpu: Cpu
    lost: int


class ShadowCost(Struct, frozen=True):
    """Blocks of a pair of versions, with the shadow and without in turns.

    Attributes:
        title: What was paired.
        capacity: Answers a second without a shadow, at 64 connections.
        without: Blocks at a quarter of the capacity.
        beside: The same with a shadow at 100 %, each the neighbour of one without.
        seen: By the shadows, of those.
        full_without: Blocks of 64 connections in a closed loop.
        full_beside: The same with a shadow at 100 %.
        full_seen: By the shadows, of those.
    """

    title: str
    capacity: float
    without: Sequence[Block]
    beside: Sequence[Block]
    seen: Share
    full_without: Sequence[Block]
    full_beside: Sequence[Block]
    full_seen: Share


class Results(Struct, frozen=True):
    """Everything; what was not asked for is empty.

    Attributes:
        environment: Of the run, in words.
        failing: Candidates that fail on 5 % of the inputs.
        slow: Candidates that take 100 ms longer.
        identical: A candidate that is the stable version under another name.
        handover: From one version to another.
        shadows: Pairs of versions.
    """

    environment: Mapping[str, str]
    failing: Sequence[TakenBack] = ()
    slow: Sequence[TakenBack] = ()
    identical: Identical | None = None
    handover: Handover | None = None
    shadows: Sequence[ShadowCost] = ()


def latency_of(seen: Sequence[Seen]) -> Latency:
    """Quantiles of the answers; zeros of none."""
    times = sorted(each.latency_s * 1000 for each in seen)
    if not times:
        return Latency(0, 0, 0)
    return Latency(times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
