"""Subjects of very different habits, and what the judge gets to count of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from msgspec import Struct

from control_plane.routing.judge.evidence import Arm, Evidence
from control_plane.routing.judge.fields import (
    BUCKET_RATIO,
    BUCKETS,
    GROUPS,
    LEAST_LATENCY_S,
)

LOOK_S: Final = 2.0
LABELS: Final = ("negative", "neutral", "positive")
Array = np.ndarray[Any, np.dtype[Any]]


class World(Struct, frozen=True, kw_only=True):
    """Who asks, and how the stable version fares.

    Attributes:
        subjects: Number of subjects.
        rate: Requests per second of all of them together.
        rate_spread: Standard deviation of the logarithm of a subject's rate: with 1.2 the busiest
            tenth sends about half of the requests.
        latency_s: Median latency, seconds.
        subject_spread: Standard deviation of the logarithm of subjects' own latencies.
        request_spread: The same within a subject.
        errors: Mean share of requests that fail.
        error_spread: Standard deviation of the logarithm of subjects' own shares.
        always_failing: Subjects of whom every request fails.
        likes: Concentration of subjects' own shares of labels (Dirichlet): the lower, the more
            alike the answers to one subject.
    """

    subjects: int = 5000
    rate: float = 200.0
    rate_spread: float = 1.2
    latency_s: float = 0.02
    subject_spread: float = 0.4
    request_spread: float = 0.5
    errors: float = 0.001
    error_spread: float = 1.0
    always_failing: int = 0
    likes: float = 2.0


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong with the candidate.

    Attributes:
        errors: Share of requests that fail on top.
        slower: Factor of every latency.
        shifted: Share of predictions that become the first label.
    """

    errors: float = 0.0
    slower: float = 1.0
    shifted: float = 0.0


class Population:
    """One draw of subjects, with the side and group that hashes would give them."""

    def __init__(self, world: World, random: np.random.Generator) -> None:
        count = world.subjects
        self.world = world
        self.random = random
        busy = random.normal(size=count)
        rates = np.exp(world.rate_spread * busy)
        self.rates = rates * (world.rate / rates.sum())
        # Busy subjects send longer inputs: rate and latency hang together.
        own = 0.3 * busy + np.sqrt(1 - 0.3**2) * random.normal(size=count)
        self.latency = np.log(world.latency_s) + world.subject_spread * own
        spread = world.error_spread
        self.errors = np.minimum(
            world.errors * np.exp(spread * random.normal(size=count) - spread**2 / 2), 1.0
        )
        self.errors[random.permutation(count)[: world.always_failing]] = 1.0
        self.likes = np.cumsum(random.dirichlet([world.likes] * len(LABELS), size=count), axis=1)
        self.place = random.random(count)
        self.group = random.integers(GROUPS, size=count)

    def looks(
        self, weight: float, control: float, seconds: float, fault: Fault
    ) -> Iterator[Evidence]:
        """The evidence of a step as it grows, every two seconds.

        Args:
            weight: Share of subjects on the candidate.
            control: Share of subjects in the control lane.
            seconds: How long the step lasts.
            fault: What is wrong with the candidate.
        """
        sides = (
            self._arms(np.flatnonzero(self.place < weight), seconds, fault),
            self._arms(np.flatnonzero(self.place >= 1 - control), seconds, Fault()),
        )
        yield from (Evidence(*arms) for arms in zip(*sides, strict=True))

    def _arms(self, members: Array, seconds: float, fault: Fault) -> Iterator[Arm]:
        looks = round(seconds / LOOK_S)
        who, look = self._requests(members, seconds)
        failed = self.random.random(len(who)) < 1 - (1 - self.errors[who]) * (1 - fault.errors)
        group, good = self.group[who], ~failed
        bucket = self._buckets(who, fault)
        label = self._labels(who, fault)
        requests = _running(looks, (look, group))
        failures = _running(looks, (look[failed], group[failed]))
        used = np.unique(bucket[good])
        place = np.searchsorted(used, bucket[good])
        latency = _running(looks, (look[good], place, group[good]), len(used))
        labels = _running(looks, (look[good], label[good], group[good]), len(LABELS))
        first = np.unique(who[failed], return_index=True)[1]
        failing = np.cumsum(np.bincount(look[failed][first], minlength=looks))
        for now in range(looks):
            yield Arm(
                requests=tuple(requests[now].tolist()),
                failed=tuple(failures[now].tolist()),
                failing_subjects=int(failing[now]),
                latency=dict(zip(used.tolist(), map(tuple, latency[now].tolist()), strict=True)),
                labels=dict(zip(LABELS, map(tuple, labels[now].tolist()), strict=True)),
            )

    def _requests(self, members: Array, seconds: float) -> tuple[Array, Array]:
        """Who sends each request, and at which look it has been answered, in order of time."""
        rates = self.rates[members]
        number = self.random.poisson(rates.sum() * seconds)
        if not number:
            return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
        places = np.searchsorted(np.cumsum(rates / rates.sum()), self.random.random(number))
        who = members[np.minimum(places, len(members) - 1)]
        look = np.sort(self.random.random(number)) * seconds / LOOK_S
        return who, look.astype(int)

    def _buckets(self, who: Array, fault: Fault) -> Array:
        noise = self.world.request_spread * self.random.normal(size=len(who))
        logarithm = self.latency[who] + noise + np.log(fault.slower)
        bucket = np.ceil((logarithm - np.log(LEAST_LATENCY_S)) / np.log(BUCKET_RATIO))
        within: Array = np.clip(bucket, 0, BUCKETS - 1).astype(int)
        return within

    def _labels(self, who: Array, fault: Fault) -> Array:
        draws = self.random.random((len(who), 1))
        label: Array = (draws > self.likes[who, :-1]).sum(axis=1)
        shifted = self.random.random(len(who)) < fault.shifted
        label[shifted] = 0
        return label


def _running(looks: int, index: tuple[Array, ...], middle: int | None = None) -> Array:
    """Counts up to each look, by (what and) group."""
    shape = (looks, GROUPS) if middle is None else (looks, middle, GROUPS)
    if not len(index[0]):
        return np.zeros(shape, dtype=int)
    flat = np.ravel_multi_index(index, shape)
    counts: Array = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    running: Array = counts.cumsum(axis=0)
    return running
