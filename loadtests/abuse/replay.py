"""Takes an actor's requests through the real counters and rules, in virtual time."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from control_plane.abuse import AbuseRules
from control_plane.admission.abuse.rules import MAX_MINUTES, Window, judge
from control_plane.admission.abuse.seen import Counts
from control_plane.admission.abuse.watch import Batch, Watch
from loadtests.abuse.traffic import MINUTES, Actor, Request

START: Final = 30_000_000
"""First minute, since 1970; the beginning of an hour."""
_NETWORK: Final = "192.0.2.1/32"
_ANONYMOUS: Final = f"a:{_NETWORK}"
_AMPLE_S: Final = 3600.0


class Verdict(Struct, frozen=True):
    """What the rules found about one actor.

    Attributes:
        actor: Its kind.
        abusive: Its label.
        rules: Rules that found something.
        requests: Requests up to the first finding; all of them without one.
        minutes: Minutes from the first request up to the first finding; 0 without one.
    """

    actor: str
    abusive: bool
    rules: frozenset[str]
    requests: int
    minutes: float


class _Memory:
    """The limits server's part: sums by the minute, keys by the hour."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], dict[int, Counts]] = defaultdict(dict)
        self.keys: dict[tuple[str, int], set[str]] = defaultdict(set)

    def add(self, batch: Batch, minute: int) -> None:
        for seen in batch.seen():
            minutes = self.counts[seen.subject, seen.client]
            minutes[minute] = _sum(minutes.get(minute, Counts()), seen.counts)
        for spread in batch.spreads():
            self.keys["valid", minute // 60] |= spread.valid
            self.keys["refused", minute // 60] |= spread.refused
            if len(spread.valid) > 1:
                _ = self.counts[_ANONYMOUS, _ANONYMOUS]

    def window(self, client: tuple[str, str], minute: int, busiest_hour: float) -> Window:
        def known(kind: str) -> int:
            hours = (minute // 60 - 1, minute // 60)
            return len(set().union(*(self.keys[kind, hour] for hour in hours)))

        by_address = client[0] == _ANONYMOUS
        counts: Mapping[int, Counts] = {
            when: counts
            for when, counts in self.counts[client].items()
            if when > minute - MAX_MINUTES
        }
        return Window(
            subject=client[0], client=client[1], minute=minute, counts=counts,
            busiest_hour=busiest_hour,
            valid_keys=known("valid") if by_address else 0,
            refused_keys=known("refused") if by_address else 0,
        )  # fmt: skip


def replay(actor: Actor, rules: AbuseRules, seed: int, minutes: float = MINUTES) -> Verdict:
    """Replay one actor.

    The rules look once a minute, at every client of the actor; nobody is blocked, so that all
    that is found shows.

    Args:
        actor: Its kind.
        rules: The thresholds.
        seed: Tells actors of a kind apart.
        minutes: Length of the replay.
    """
    rng = random.Random(f"{actor.name} {seed}")  # noqa: S311
    watch, memory = Watch(), _Memory()
    found: set[str] = set()
    total = requests = 0
    until_found, began = 0.0, -1
    sent = itertools.takewhile(lambda one: one.at < minutes * 60, actor.requests(rng))
    by_minute = itertools.groupby(sent, key=lambda request: int(request.at // 60))
    for minute, part in by_minute:
        began = minute if began < 0 else began
        total += _pass(watch, memory, part, START + minute)
        fresh = {
            finding.rule
            for client in list(memory.counts)
            for finding in judge(memory.window(client, START + minute, actor.busiest_hour), rules)
        }
        if fresh and not found:
            requests, until_found = total, minute - began + 1
        found |= fresh
    return Verdict(actor.name, actor.abusive, frozenset(found), requests or total, until_found)


def population(
    actors: Sequence[Actor], rules: AbuseRules, seed: int, each: int, minutes: float = MINUTES
) -> list[Verdict]:
    """Replay some actors of each kind."""
    return [
        replay(actor, rules, seed * 1000 + number, minutes)
        for actor in actors
        for number in range(each)
    ]


def _pass(watch: Watch, memory: _Memory, requests: Iterable[Request], minute: int) -> int:
    count = 0
    for _, second in itertools.groupby(requests, key=lambda request: int(request.at)):
        for request in second:
            _note(watch, request)
            count += 1
        taken = watch.take(minute)
        for _ in watch.study(taken, _AMPLE_S):
            pass
        memory.add(taken, minute)
    return count


def _note(watch: Watch, request: Request) -> None:
    if request.credential:
        watch.refused(_NETWORK, request.credential)
        return
    anonymous = request.client < 0
    subject = _ANONYMOUS if anonymous else "t:actor"
    client = _ANONYMOUS if anonymous else f"k:{request.client}"
    inputs = () if request.inputs is None else (request.inputs,)
    watch.note(subject, client, _NETWORK, request.outcome, inputs, 300)


def _sum(one: Counts, other: Counts) -> Counts:
    names = one.__struct_fields__
    return Counts(*(getattr(one, name) + getattr(other, name) for name in names))
