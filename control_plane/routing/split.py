"""Which bucket a subject falls in, and which buckets belong to whom.

A weight only ever takes buckets that nobody else needs, so that growing one moves no subject twice:
candidates take free buckets from the lowest up, the control from the highest down, and each gives
back first what it took last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Final

from msgspec import Struct

from control_plane.errors import Fault, InvalidInput
from control_plane.routing.judge.fields import GROUPS
from control_plane.routing.state import BUCKETS, Range

_LOW_BITS: Final = 32
_EXACTNESS: Final = 1e-6
"""By how much of a bucket a weight may miss a whole number of them: doubles hold no tenths."""


class Split(Struct, frozen=True):
    """Who has which buckets; all others are the rest of the stable version's.

    Attributes:
        buckets: Of each candidate that has any, by version; the ones taken last stand last.
        control: Of the stable version's control, from the highest down.
    """

    buckets: dict[str, tuple[Range, ...]] = {}
    control: tuple[Range, ...] = ()


def digest(rollout: str, subject: str) -> int:
    """What places a subject in a rollout: 64 bits that depend on nothing else.

    BLAKE2b (RFC 7693), keyed with the rollout's id so that rollouts split subjects independently.

    Args:
        rollout: Its id, 64 bytes at most.
        subject: Of any length.
    """
    text = subject.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8, key=rollout.encode()).digest(), "big")


def bucket_of(digest: int) -> int:
    """The bucket of a subject, 0 to 999, by the upper half of its digest."""
    return (digest >> _LOW_BITS) * BUCKETS >> _LOW_BITS


def group_of(digest: int) -> int:
    """The group of a subject, 0 to 63, by the lower half of its digest."""
    return digest % GROUPS


def bucket_count(percent: float) -> int:
    """How many buckets a weight is.

    Args:
        percent: 0 to 100.

    Raises:
        ValueError: If it is out of range, or no multiple of 0.1.
    """
    if not 0 <= percent <= 100:
        raise ValueError("has to be between 0 and 100 percent")
    exact = percent * BUCKETS / 100
    count = round(exact)
    if abs(exact - count) > _EXACTNESS or (percent and not count):
        raise ValueError("has to be a multiple of 0.1 percent")
    return count


def allocate(before: Split, weights: Mapping[str, float]) -> Split:
    """Give candidates the buckets of their weights, and the control as many as the largest has.

    A candidate that grows takes buckets of the rest, then of the control, and only if the stable
    version has no more, those that another candidate has just given back. The control gets what
    room there is. No other bucket changes hands.

    Args:
        before: Who has what now; a candidate without a weight gives back all.
        weights: Percent of the subjects, by version, in the order in which they take.

    Raises:
        InvalidInput: If one is no multiple of 0.1 between 0 and 100, or they are more than 100
            together.
    """
    wanted = _counts(weights)
    held = {version: _upward(ranges) for version, ranges in before.buckets.items()}
    control = _downward(before.control)
    owned = {bucket for buckets in held.values() for bucket in buckets}
    rest = sorted(set(range(BUCKETS)) - owned - set(control))
    own = {version: held.get(version, [])[:count] for version, count in wanted.items()}
    kept = {bucket for buckets in own.values() for bucket in buckets}
    released = sorted(owned - kept)
    supply = iter([*rest, *reversed(control), *released])
    for version, count in wanted.items():
        own[version] += islice(supply, count - len(own[version]))
    taken = {bucket for buckets in own.values() for bucket in buckets}
    largest = max(wanted.values(), default=0)
    room = [*control, *reversed(rest), *reversed(released)]
    compared = [bucket for bucket in room if bucket not in taken][:largest]
    return Split(
        {version: _ranges(buckets) for version, buckets in own.items() if buckets},
        _ranges(compared, step=-1),
    )


def taken_again(now: Split, version: str, ranges: tuple[Range, ...]) -> Split:
    """The split with a candidate holding again what it once had, as far as no other has taken it.

    Args:
        now: Who has what; the candidate has nothing.
        version: Of the candidate.
        ranges: What it had, in the order in which it was taken.
    """
    others = {bucket for held in now.buckets.values() for bucket in _upward(held)}
    own = [bucket for bucket in _upward(ranges) if bucket not in others]
    control = [bucket for bucket in _downward(now.control) if bucket not in set(own)]
    return Split({**now.buckets, version: _ranges(own)}, _ranges(control, step=-1))


def _counts(weights: Mapping[str, float]) -> dict[str, int]:
    counts: dict[str, int] = {}
    faults = []
    for version, percent in weights.items():
        try:
            counts[version] = bucket_count(percent)
        except ValueError as error:
            place = f"weights.{version}"
            faults.append(Fault(place, str(error), f"/weights/{version}", received=percent))
    if not faults and sum(counts.values()) > BUCKETS:
        total = sum(counts.values()) * 100 / BUCKETS
        faults.append(
            Fault("weights", "have to be 100 percent at most together", "/weights", received=total)
        )
    if faults:
        raise InvalidInput(faults)
    return counts


def _upward(ranges: Iterable[Range]) -> list[int]:
    return [bucket for first, end in ranges for bucket in range(first, end)]


def _downward(ranges: Iterable[Range]) -> list[int]:
    return [bucket for first, end in ranges for bucket in reversed(range(first, end))]


def _ranges(buckets: list[int], step: int = 1) -> tuple[Range, ...]:
    """Buckets in the order they were taken as ranges that were taken upward, or downward."""
    runs: list[list[int]] = []
    for bucket in buckets:
        if runs and bucket == runs[-1][-1] + step:
            runs[-1].append(bucket)
        else:
            runs.append([bucket])
    return tuple((min(run[0], run[-1]), max(run[0], run[-1]) + 1) for run in runs)
